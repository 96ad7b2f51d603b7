//! Hooks of all four: who is called when, and what happens when one fails.

use tokio::sync::watch;

use super::*;
use crate::json::Json;
use crate::schedule::Interval;
use crate::service::Toolkit as HookToolkit;
use crate::source::{Event, ExtractCron, Mode, Source, Trigger};

/// Everything that was called, in order, and what fails.
#[derive(Debug, Default)]
pub(super) struct Diary {
    entries: watch::Sender<Vec<String>>,
    fails: Vec<&'static str>,
}

impl Diary {
    pub(super) fn failing(fails: &[&'static str]) -> Arc<Diary> {
        Arc::new(Diary {
            fails: fails.to_vec(),
            ..Diary::default()
        })
    }

    fn note(&self, entry: String) -> Result<()> {
        let fails = self.fails.contains(&&*entry);
        self.entries.send_modify(|entries| entries.push(entry));
        match fails {
            true => Err(Error::unavailable("no connection")),
            false => Ok(()),
        }
    }

    pub(super) fn entries(&self) -> Vec<String> {
        self.entries.borrow().clone()
    }

    /// Returns when some entry is as asked for.
    pub(super) async fn has(&self, wanted: impl Fn(&str) -> bool) {
        let mut entries = self.entries.subscribe();
        let found = entries.wait_for(|entries| entries.iter().any(|entry| wanted(entry)));
        found.await.unwrap();
    }
}

/// A source with two cron triggers, a destination with two actions, and their children.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    name: &'static str,
    children: Vec<&'static str>,
    diary: Arc<Diary>,
}

impl Noted {
    pub(super) fn new(name: &'static str, children: &[&'static str], diary: &Arc<Diary>) -> Noted {
        Noted {
            name,
            children: children.to_vec(),
            diary: Arc::clone(diary),
        }
    }

    fn children(&self) -> impl Iterator<Item = Arc<Noted>> {
        let children = self.children.clone().into_iter();
        children.map(|child| Arc::new(Noted::new(child, &[], &self.diary)))
    }

    fn began(&self, service: &ServiceInfo, expected: &str) -> Result<()> {
        assert_eq!(service.name, expected);
        assert_eq!(service.id.len(), 27);
        self.diary.note(format!("init {}", self.name))
    }

    fn ended(&self) -> Result<()> {
        self.diary.note(format!("shutdown {}", self.name))
    }
}

#[async_trait]
impl Source for Noted {
    fn name(&self) -> &str {
        self.name
    }

    fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
        let triggers = self.children();
        triggers.map(|own| own as Arc<dyn Trigger>).collect()
    }

    async fn init(&self, toolkit: &HookToolkit) -> Result<()> {
        assert!(toolkit.event_id.is_none() && toolkit.job_id.is_none());
        self.began(&toolkit.service, ServiceInfo::GATEWAY)
    }

    async fn shutdown(&self, _: &HookToolkit) -> Result<()> {
        self.ended()
    }
}

#[async_trait]
impl Trigger for Noted {
    fn name(&self) -> &str {
        self.name
    }

    fn mode(self: Arc<Self>) -> Mode {
        Mode::Cron {
            interval: Some(Interval::every(std::time::Duration::from_secs(1))),
            extract: self,
        }
    }

    async fn init(&self, toolkit: &HookToolkit) -> Result<()> {
        self.began(&toolkit.service, ServiceInfo::GATEWAY)
    }

    async fn shutdown(&self, _: &HookToolkit) -> Result<()> {
        self.ended()
    }
}

#[async_trait]
impl ExtractCron for Noted {
    async fn extract(
        &self,
        toolkit: &HookToolkit,
        _: crate::clock::Timestamp,
    ) -> Result<Option<Event>> {
        assert_eq!(toolkit.service.name, ServiceInfo::GATEWAY);
        assert!(toolkit.event_id.is_some());
        Ok(Some(Event::of(Json::of(self.name)?)))
    }
}

#[async_trait]
impl Destination for Noted {
    fn name(&self) -> &str {
        self.name
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        let actions = self.children();
        actions.map(|own| own as Arc<dyn Action>).collect()
    }

    async fn init(&self, toolkit: &Toolkit) -> Result<()> {
        self.began(&toolkit.service, ServiceInfo::SCHEDULER)
    }

    async fn shutdown(&self) -> Result<()> {
        self.ended()
    }
}

#[async_trait]
impl Action for Noted {
    fn name(&self) -> &str {
        self.name
    }

    async fn init(&self, toolkit: &Toolkit) -> Result<()> {
        self.began(&toolkit.service, ServiceInfo::SCHEDULER)
    }

    async fn shutdown(&self) -> Result<()> {
        self.ended()
    }

    async fn load(&self, toolkit: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        assert_eq!(toolkit.service.name, ServiceInfo::SCHEDULER);
        while let Some(jobs) = queue.next_jobs().await? {
            for job in jobs {
                self.diary
                    .note(format!("{} of {}", self.name, job.data.as_str()))?;
            }
        }
        then.send(crate::destination::Then::succeeded(
            crate::destination::Jobs::All,
        ));
        Ok(())
    }
}

/// `ticks` with the triggers `one` and `two`, `crm` with the actions `register` and `notify`.
fn application(diary: &Arc<Diary>) -> Application {
    let store = Arc::new(MemoryStore::new(Retention::default()).unwrap());
    let ticks = Noted::new("ticks", &["one", "two"], diary);
    let crm = Noted::new("crm", &["register", "notify"], diary);
    Application::builder()
        .store(store)
        .source(ticks)
        .destination(realtime(Arc::new(crm)))
        .flow("ticks/one", "crm/register")
        .build()
        .unwrap()
}

async fn caught_up(application: &Application, service: Service) -> Result<()> {
    let run = Run {
        service,
        until_caught_up: true,
        ..Run::default()
    };
    application.run(run).await
}

const SCHEDULER_UP: [&str; 3] = ["init crm", "init register", "init notify"];
const SCHEDULER_DOWN: [&str; 3] = ["shutdown notify", "shutdown register", "shutdown crm"];
const GATEWAY_UP: [&str; 3] = ["init ticks", "init one", "init two"];
const GATEWAY_DOWN: [&str; 3] = ["shutdown two", "shutdown one", "shutdown ticks"];

/// HOK-00 HOK-01 HOK-02 HOK-03 HOK-06 TKT-02
#[tokio::test]
async fn parents_are_prepared_before_their_children_and_let_go_after_them() {
    let diary = Diary::failing(&[]);
    caught_up(&application(&diary), Service::All).await.unwrap();
    let expected = [SCHEDULER_UP, GATEWAY_UP, GATEWAY_DOWN, SCHEDULER_DOWN];
    assert_eq!(diary.entries(), expected.concat());
}

/// HOK-06
#[tokio::test]
async fn each_service_calls_only_the_hooks_of_its_own_side() {
    let diary = Diary::failing(&[]);
    caught_up(&application(&diary), Service::Gateway)
        .await
        .unwrap();
    assert_eq!(diary.entries(), [GATEWAY_UP, GATEWAY_DOWN].concat());
    let diary = Diary::failing(&[]);
    caught_up(&application(&diary), Service::Scheduler)
        .await
        .unwrap();
    assert_eq!(diary.entries(), [SCHEDULER_UP, SCHEDULER_DOWN].concat());
}

/// HOK-04
#[tokio::test]
async fn what_fails_to_prepare_stops_the_application_and_lets_go_only_of_what_was_prepared() {
    let diary = Diary::failing(&["init register"]);
    let error = caught_up(&application(&diary), Service::All).await;
    let report = error.unwrap_err().report();
    assert!(
        report.contains("action crm/register: no connection"),
        "{report}"
    );
    assert_eq!(
        diary.entries(),
        ["init crm", "init register", "shutdown crm"]
    );

    let diary = Diary::failing(&["init two"]);
    let error = caught_up(&application(&diary), Service::All).await;
    let report = error.unwrap_err().report();
    assert!(report.contains("trigger ticks/two"), "{report}");
    let mut expected = [SCHEDULER_UP, GATEWAY_UP].concat();
    expected.extend(["shutdown one", "shutdown ticks"]);
    expected.extend(SCHEDULER_DOWN);
    assert_eq!(diary.entries(), expected);
}

/// HOK-04
#[tokio::test]
async fn what_fails_to_let_go_is_passed_over_and_the_application_ends_well() {
    let diary = Diary::failing(&["shutdown two", "shutdown register"]);
    caught_up(&application(&diary), Service::All).await.unwrap();
    let expected = [SCHEDULER_UP, GATEWAY_UP, GATEWAY_DOWN, SCHEDULER_DOWN];
    assert_eq!(diary.entries(), expected.concat());
}

/// CON-01 CON-02 CON-03 CON-04 SRC-01 SRC-03 TRG-04 PUB-00 SVC-01 SVC-02 SVC-03 SVC-10 TKT-02 TKT-03
#[tokio::test(start_paused = true)]
async fn a_tick_of_a_cron_trigger_is_loaded_by_the_action_it_is_routed_to() {
    let diary = Diary::failing(&[]);
    let application = Arc::new(application(&diary));
    let run = Run::default();
    let running = start(&application, &run);
    diary.has(|entry| entry.contains(" of ")).await;
    run.stop.cancel();
    running.await.unwrap().unwrap();
    let entries = diary.entries();
    let loads = entries.iter().filter(|entry| entry.contains(" of "));
    assert!(loads.clone().count() > 0);
    assert!(loads.clone().all(|entry| entry == "register of \"one\""));
    let down = [GATEWAY_DOWN, SCHEDULER_DOWN].concat();
    assert_eq!(entries[entries.len() - 6..], down);
}
