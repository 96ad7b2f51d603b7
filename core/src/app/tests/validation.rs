//! Everything that is wrong with an application is said at once.

use super::*;
use crate::door::Door;
use crate::service::Toolkit as Hooks;
use crate::source::{
    Event, ExtractHttp, ExtractMessage, Listen, Listening, Message, Mode, Request, Route,
    SourceOptions, Subscription,
};
use crate::version::Versions;

/// A trigger of some mode.
#[derive(Debug, Clone)]
enum Way {
    Http(&'static str, Route),
    Message(&'static str),
    Changes(&'static str),
}

#[async_trait]
impl Listen for Way {
    async fn listen(&self, _: Door, _: Listening) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl ExtractHttp for Way {
    async fn extract(&self, _: &Hooks, _: Request) -> Result<Option<Event>> {
        Ok(None)
    }
}

#[async_trait]
impl ExtractMessage for Way {
    async fn extract(&self, _: &Hooks, _: Message) -> Result<Option<Event>> {
        Ok(None)
    }
}

impl Trigger for Way {
    fn name(&self) -> &str {
        match self {
            Way::Http(name, _) | Way::Message(name) | Way::Changes(name) => name,
        }
    }

    fn mode(self: Arc<Self>) -> Mode {
        match &*self {
            Way::Http(_, route) => Mode::Http {
                route: route.clone(),
                extract: self,
            },
            Way::Message(_) => Mode::Subscription {
                subscription: Subscription {
                    topic: "orders".into(),
                    subscription: "lake".into(),
                },
                extract: self,
            },
            Way::Changes(_) => Mode::Cdc(self),
        }
    }
}

#[derive(Debug, Default)]
struct Web {
    triggers: Vec<Way>,
    versions: Versions,
}

impl Source for Web {
    fn name(&self) -> &str {
        "web"
    }

    fn options(&self) -> SourceOptions {
        SourceOptions {
            versions: self.versions.clone(),
            ..SourceOptions::default()
        }
    }

    fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
        let triggers = self.triggers.iter().cloned();
        triggers
            .map(|way| Arc::new(way) as Arc<dyn Trigger>)
            .collect()
    }
}

fn http(name: &'static str, route: Route) -> Way {
    Way::Http(name, route)
}

/// What is said of `builder`.
fn said(builder: Builder) -> String {
    let error = builder.build().unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Config);
    error.to_string()
}

fn with_store() -> Builder {
    Application::builder().store(store_with_events())
}

#[test]
fn every_problem_is_listed_with_its_place() {
    let web = Web {
        triggers: vec![
            http("signup", Route::post("/admin/signup")),
            http("order", Route::new("FETCH", "orders")),
            http("order", Route::post("/orders")),
            http("a/b", Route::new("post", "/orders")),
            Way::Message("broker"),
        ],
        versions: Versions {
            default: Some("v2".into()),
            ..Versions::default()
        },
    };
    let mut harbour = realtime(Arc::new(Harbour {
        name: "no name".into(),
        ..Harbour::default()
    }));
    harbour.actions.insert(
        "unlaod".into(),
        ActionSettings {
            schedule: PartialSchedule::default(),
            batch: BatchLimits::default(),
            limits: crate::destination::PartialLoadLimits::default(),
        },
    );
    let builder = Application::builder()
        .source(web)
        .source(Shop)
        .source(Shop)
        .destination(harbour)
        .flow("wen", "no name/unlaod")
        .flow("web", "nowhere");
    let said = said(builder);
    for expected in [
        "store: there is none (hand one in with store())",
        "sources/web/versions.default: the default version v2 is not among the versions",
        "sources/web/triggers/signup/route.path: /admin is the gateway's own",
        "sources/web/triggers/order/route.path: it does not begin with / and a name",
        "sources/web/triggers/order/route.methods: FETCH is not supported",
        "sources/web/triggers/order: there is another trigger called so",
        "sources/web/triggers/a/b: not a name",
        "sources/web/triggers/a/b/route.path: web/order has POST /orders already",
        "sources/web/triggers/broker/subscription: there is no pubsub",
        "sources/shop: there is another source called so",
        "destinations/no name: not a name",
        "destinations/no name/actions/unlaod: the destination has no such action (did you mean \"unload\"?)",
        "flows/0/from: there is no such source (did you mean \"web\"?)",
        "flows/0/to: there is no such action (did you mean \"unload\"?)",
        "flows/1/to: there is no such destination",
    ] {
        assert!(said.contains(expected), "{expected}\nis not in\n{said}");
    }
    assert!(
        said.starts_with("the application has 15 problems:"),
        "{said}"
    );
}

#[test]
fn what_only_looks_reserved_is_not() {
    let web = Web {
        triggers: vec![
            http("one", Route::post("/apiary")),
            http("two", Route::new("GET", "/apiary")),
        ],
        ..Web::default()
    };
    with_store().source(web).build().unwrap();
}

/// The events of a change stream name their tables themselves.
#[test]
fn only_a_change_stream_may_be_called_as_everything() {
    let called = |trigger| {
        let triggers = vec![trigger];
        with_store().source(Web {
            triggers,
            ..Web::default()
        })
    };
    called(Way::Changes("*")).build().unwrap();
    for trigger in [http("*", Route::post("/all")), Way::Changes("public.*")] {
        assert!(said(called(trigger)).contains(": not a name"));
    }
}

/// CON-08: one name may be a source and a destination.
#[test]
fn a_system_may_be_a_source_and_a_destination_at_once() {
    let shop = Harbour {
        name: "shop".into(),
        ..Harbour::default()
    };
    let built = with_store()
        .source(Shop)
        .destination(shop)
        .flow("shop", "shop/un*");
    built.build().unwrap();
}
