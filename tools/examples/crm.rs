//! A small CRM: whoever signs up is registered, and whoever cannot be registered is handed to a person.
//!
//! People sign up at `POST /signups`, and a partner refers somebody every second. Both call `register`; what that gives
//! up is followed by `hand_over`. Customers are files in the folder `customers`.
//!
//! ```sh
//! cargo run -p blacksmith-stream --example crm -- run
//! curl -d '{"name": "Ada", "email": "ada@example.com"}' http://127.0.0.1:9090/signups
//! cargo run -p blacksmith-stream --example crm -- jobs --action hand_over
//! ```

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blacksmith_core::app::DestinationSettings;
use blacksmith_core::call::Call;
use blacksmith_core::clock::Timestamp;
use blacksmith_core::destination::{Action, Destination, Jobs, Queue, Then, Thens};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::job::QueuedJob;
use blacksmith_core::json::Json;
use blacksmith_core::schedule::Interval;
use blacksmith_core::source::{
    Event, ExtractCron, ExtractHttp, Mode, Request, Route, Source, Trigger,
};
use blacksmith_core::{destination, service};
use blacksmith_stream::Program;
use serde::{Deserialize, Serialize};

fn main() -> ExitCode {
    Program::new()
        .named("crm", env!("CARGO_PKG_VERSION"))
        .source(Website)
        .destination(DestinationSettings::from(Crm).realtime(Duration::from_millis(100)))
        .main()
}

/// What `register` and `hand_over` are given.
#[derive(Debug, Serialize, Deserialize)]
struct Customer {
    name: String,
    email: String,
}

/// The source: people come by themselves or are referred.
#[derive(Debug)]
struct Website;

impl Source for Website {
    fn name(&self) -> &str {
        "website"
    }

    fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
        vec![Arc::new(Signup), Arc::new(Referral)]
    }
}

/// A webhook.
#[derive(Debug)]
struct Signup;

impl Trigger for Signup {
    fn name(&self) -> &str {
        "signup"
    }

    fn mode(self: Arc<Self>) -> Mode {
        Mode::Http {
            route: Route {
                show_meta: true,
                ..Route::post("/signups")
            },
            extract: self,
        }
    }
}

#[async_trait]
impl ExtractHttp for Signup {
    async fn extract(&self, _: &service::Toolkit, request: Request) -> Result<Option<Event>> {
        // An error is the reply: 400, and nothing is stored.
        let data = Json::parse(request.body)?;
        let customer: Customer = data.read()?;
        if customer.name.is_empty() {
            let error = Error::invalid("a customer has a name");
            return Err(error.validation("is empty", ["data", "name"]));
        }
        let event = Event::of(data);
        Ok(Some(event.call("crm", Call::pass("register"))))
    }
}

/// A clock: every second a partner refers somebody.
#[derive(Debug)]
struct Referral;

impl Trigger for Referral {
    fn name(&self) -> &str {
        "referral"
    }

    fn mode(self: Arc<Self>) -> Mode {
        Mode::Cron {
            interval: Some(Interval::every(Duration::from_secs(1))),
            extract: self,
        }
    }
}

#[async_trait]
impl ExtractCron for Referral {
    async fn extract(&self, _: &service::Toolkit, due: Timestamp) -> Result<Option<Event>> {
        // The partner asks for names, and never for addresses.
        let customer = Customer {
            name: format!("a friend of {due}"),
            email: "unknown".into(),
        };
        let event = Event::of(Json::of(&customer)?);
        Ok(Some(event.call("crm", Call::pass("register"))))
    }
}

/// The destination.
#[derive(Debug)]
struct Crm;

const CUSTOMERS: &str = "customers";

#[async_trait]
impl Destination for Crm {
    fn name(&self) -> &str {
        "crm"
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::new(Register), Arc::new(HandOver)]
    }

    async fn init(&self, _: &destination::Toolkit) -> Result<()> {
        let made = std::fs::create_dir_all(CUSTOMERS);
        made.map_err(|error| Error::unavailable("no folder for customers").because(error))
    }
}

#[derive(Debug)]
struct Register;

#[async_trait]
impl Action for Register {
    fn name(&self) -> &str {
        "register"
    }

    async fn load(&self, _: &destination::Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        while let Some(jobs) = queue.next_jobs().await? {
            for job in &jobs {
                let hand_over = Call::pass("hand_over");
                then.send(register(job).on_discarded(hand_over));
            }
        }
        Ok(())
    }
}

/// Registers the customer of one job. The file is called as the job is, so that doing it again changes nothing.
fn register(job: &QueuedJob) -> Then {
    let customer: Customer = match job.data.read() {
        Ok(customer) => customer,
        Err(error) => return Then::discarded(job, error),
    };
    if !customer.email.contains('@') {
        return Then::discarded(job, Error::invalid("no such address"));
    }
    let file = format!("{CUSTOMERS}/{}.json", job.id);
    match std::fs::write(&file, job.data.as_str()) {
        Ok(()) => Then::succeeded(job),
        // This one is tried again, and handed over when its retries have run out.
        Err(error) => {
            let what = format!("cannot write {file}");
            Then::failed(job, Error::unavailable(what).because(error))
        }
    }
}

#[derive(Debug)]
struct HandOver;

#[async_trait]
impl Action for HandOver {
    fn name(&self) -> &str {
        "hand_over"
    }

    async fn load(
        &self,
        toolkit: &destination::Toolkit,
        queue: &mut Queue,
        then: &Thens,
    ) -> Result<()> {
        while let Some(jobs) = queue.next_jobs().await? {
            for job in jobs {
                let Customer { name, email } = job.data.read()?;
                tracing::warn!(parent: &toolkit.logger, name, email, "please call this customer");
            }
        }
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }
}
