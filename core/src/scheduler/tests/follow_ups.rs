//! Jobs that follow others: whose children they are, and that there is exactly one of each whatever happens.

use std::path::Path;

use super::torn::Torn;
use super::*;
use crate::call::Call;
use crate::destination::{Destination, Jobs};
use crate::gateway::Intake;
use crate::job::{Job, QueuedJob};
use crate::json::Json;
use crate::log::{LogOptions, SyncMode, SystemDisk};
use crate::service::Service;
use crate::source::Event;
use crate::store::log::LogStore;
use crate::version::Versions;

/// `register` has `welcome` follow what succeeds and `alert` what is given up; `welcome` has `alert` follow.
#[derive(Debug)]
struct Crm {
    seen: mpsc::UnboundedSender<(String, QueuedJob)>,
    /// Whether `register` fails once before anything else.
    fails: bool,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    fails: bool,
    seen: mpsc::UnboundedSender<(String, QueuedJob)>,
}

impl Destination for Crm {
    fn name(&self) -> &str {
        "crm"
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        let step = |name| {
            Arc::new(Step {
                name,
                fails: self.fails && name == "register",
                seen: self.seen.clone(),
            }) as Arc<dyn Action>
        };
        ["register", "welcome", "alert"].map(step).into()
    }
}

#[async_trait]
impl Action for Step {
    fn name(&self) -> &str {
        self.name
    }

    async fn load(&self, _: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        while let Some(jobs) = queue.next_jobs().await? {
            for job in jobs {
                let own = Jobs::from(&job);
                let succeeded = job.data.as_str().contains("good");
                then.send(match self.name {
                    "register" if self.fails && queue.attempt() == 1 => {
                        let error = Error::unavailable("not yet");
                        Then::failed(own, error).on_failed(Call::with("alert", "failed")?)
                    }
                    "register" if succeeded => Then::succeeded(own)
                        .on_succeeded(Call::pass("welcome"))
                        .on_succeeded(Call::pass("nobody"))
                        .on_discarded(Call::pass("alert")),
                    "register" => Then::discarded(own, Error::invalid("bad"))
                        .on_succeeded(Call::pass("welcome"))
                        .on_discarded(Call::with("alert", "given up")?),
                    "welcome" => {
                        let copy = Job {
                            context: Some(Json::of("welcomed")?),
                            ..Job::default()
                        };
                        Then::succeeded(own).on_succeeded(Call::new("alert", copy))
                    }
                    _ => Then::succeeded(own),
                });
                self.seen.send((self.name.to_owned(), job)).ok();
            }
        }
        // Whatever else it was given is to be told of when it is given up.
        then.send(Then::succeeded(Jobs::All).on_discarded(Call::pass("alert")));
        Ok(())
    }
}

/// A running application over `store`.
struct House {
    store: Arc<dyn Store>,
    lanes: Vec<LaneHandle>,
    intake: Intake,
    seen: mpsc::UnboundedReceiver<(String, QueuedJob)>,
}

impl House {
    fn open(store: Arc<dyn Store>, fails: bool) -> House {
        let (seen_in, seen) = mpsc::unbounded_channel();
        let crm: Arc<dyn Destination> = Arc::new(Crm {
            seen: seen_in,
            fails,
        });
        let routes = [Route::between("web", "crm/register")];
        let clock: Arc<dyn Clock> = Arc::new(StandingTime::begin());
        let registry =
            Registry::new(&*store, &[(Arc::clone(&crm), Versions::default())], &routes).unwrap();
        let registry = Arc::new(registry);
        let formats: Formats = [(FormatId::JSON, Arc::new(Torn) as Arc<dyn Format>)].into();
        let formats = Arc::new(formats);
        let operator = Operator::new(
            Query::new(Arc::clone(&store), Formats::default(), Actions::default()),
            Plans::new(),
            Arc::clone(&clock),
        );
        let start = |action: Arc<dyn Action>| {
            let name = format!("crm/{}", action.name());
            let routing = Routing::new(Arc::clone(&store), &routes, "crm", action.as_ref());
            let settings = LaneSettings {
                toolkit: Toolkit::by_hand(&name, store.id(), Arc::clone(&clock)),
                name: Arc::from(name),
                schedule: Schedule {
                    realtime: true,
                    ..Schedule::default()
                },
                batch: BatchLimits {
                    age_max: Duration::ZERO,
                    ..BatchLimits::default()
                },
                load: action.limits().settle(action.ordering()),
                registry: Arc::clone(&registry),
                operator: operator.clone(),
                routing: Arc::new(routing),
                limits: Limits::default(),
                default_version: None,
                action,
            };
            start_lane(&store, &formats, &clock, settings).unwrap()
        };
        let service = Arc::new(Service::new("test".into(), Service::GATEWAY));
        let intake = Intake::new(
            Arc::clone(&store),
            "web",
            Versions::default(),
            Arc::clone(&registry),
            service,
            Arc::clone(&clock),
        );
        House {
            lanes: crm.actions().into_iter().map(start).collect(),
            intake: intake.unwrap(),
            store,
            seen,
        }
    }

    fn take(&self, data: &str) {
        let toolkit = self.intake.begin(&"signup".into());
        let event = Event::of(Json::of(data).unwrap()).context(Json::of("ip").unwrap());
        let prepared = self
            .intake
            .prepare(&"signup".into(), &toolkit, event)
            .unwrap();
        self.intake.offer(prepared).unwrap();
    }

    /// Returns when nothing is left to do, follow-ups of follow-ups included.
    async fn come_to_rest(&self) {
        loop {
            let head = self.store.durable().upto();
            for lane in &self.lanes {
                lane.flush(head).await.unwrap();
            }
            if self.store.durable().upto() == head {
                return;
            }
        }
    }

    fn seen(&mut self) -> Vec<(String, QueuedJob)> {
        let mut seen = Vec::new();
        while let Ok(one) = self.seen.try_recv() {
            seen.push(one);
        }
        seen
    }
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Retention::default()).unwrap())
}

fn named<'a>(seen: &'a [(String, QueuedJob)], name: &str) -> Vec<&'a QueuedJob> {
    let own = seen.iter().filter(|(own, _)| own == name);
    own.map(|(_, job)| job).collect()
}

/// THN-05 THN-07 THN-09 JOB-05 CON-13
#[tokio::test(start_paused = true)]
async fn a_follow_up_names_its_event_and_its_parent_and_copies_what_it_leaves_out() {
    let mut house = House::open(memory(), false);
    house.take("good");
    house.take("bad");
    house.come_to_rest().await;
    let seen = house.seen();
    let [good, bad] = named(&seen, "register")[..] else {
        panic!("{seen:?}");
    };
    let [welcome] = named(&seen, "welcome")[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(welcome.parent, Some(good.id));
    assert_eq!(welcome.event, good.event);
    assert_eq!(
        (&welcome.context, &welcome.data),
        (&good.context, &good.data)
    );
    let alerts = named(&seen, "alert");
    let of = |parent| {
        alerts
            .iter()
            .find(|job| job.parent == Some(parent))
            .unwrap()
    };
    let (grandchild, given_up) = (of(welcome.id), of(bad.id));
    assert_eq!(alerts.len(), 2);
    assert_eq!(grandchild.event, good.event);
    assert_eq!(grandchild.context.as_str(), "\"welcomed\"");
    assert_eq!(grandchild.data, good.data);
    assert_eq!(given_up.data.as_str(), "\"given up\"");
    assert_eq!(given_up.event, bad.event);
}

/// THN-06 THN-09
#[tokio::test(start_paused = true)]
async fn each_failed_attempt_that_is_not_the_last_has_its_own_follow_up() {
    let mut house = House::open(memory(), true);
    house.take("good");
    house.come_to_rest().await;
    let seen = house.seen();
    assert_eq!(named(&seen, "register").len(), 2);
    let alerts = named(&seen, "alert");
    let failed = alerts
        .iter()
        .filter(|job| job.data.as_str() == "\"failed\"");
    assert_eq!((failed.count(), alerts.len()), (1, 2));
}

/// THN-07
#[tokio::test(start_paused = true)]
async fn nothing_follows_a_job_that_cannot_be_decoded_because_no_report_speaks_of_it() {
    let mut house = House::open(memory(), false);
    house.take("torn");
    house.take("bad");
    house.come_to_rest().await;
    let seen = house.seen();
    let alerts = named(&seen, "alert");
    let data: Vec<_> = alerts.iter().map(|job| job.data.as_str()).collect();
    assert_eq!(data, ["\"given up\""], "the other's");
    let register = house.store.lane(house.lanes[0].id).unwrap();
    let reasons: Vec<_> = discarded(&register);
    assert_eq!(reasons[0], (span(1, 1), "signup: torn".to_owned()));
    assert_eq!(house.lanes[0].counters.refused_follow_ups.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_an_unknown_action_is_refused_and_counted_and_the_parent_stands() {
    let house = House::open(memory(), false);
    house.take("good");
    house.come_to_rest().await;
    let counters = &house.lanes[0].counters;
    assert_eq!(
        (counters.refused_follow_ups.get(), counters.follow_ups.get()),
        (1, 1)
    );
    assert_eq!(counters.succeeded.get(), 1);
}

fn open_log(dir: &Path) -> Arc<dyn Store> {
    let options = LogOptions {
        segment_bytes: 1 << 20,
        sync: SyncMode::Never,
        ..LogOptions::default()
    };
    let opened = LogStore::open(dir, options, SystemDisk::shared(), Retention::default());
    Arc::new(opened.unwrap().0)
}

/// The children in the store: their lanes, their parents and their data.
fn children(house: &House) -> Vec<(u32, u64, String)> {
    let lanes = house.store.lanes();
    let mut children = Vec::new();
    let mut blocks = house.store.blocks(Position::FIRST);
    while let Some(block) = blocks.next().unwrap() {
        for entry in crate::document::Entries::of(block.body.clone()) {
            let entry = entry.unwrap();
            let schema = house.store.schema(entry.schema).unwrap();
            let parent = entry.belongs.and_then(|belongs| belongs.parent);
            if let Some((_, parent)) = parent {
                let called = &schema.about.calls[0];
                let lane = lanes.iter().find(|lane| lane.name == *called).unwrap();
                children.push((lane.id.0, parent.0, entry.data.as_str().to_owned()));
            }
        }
    }
    children.sort_unstable();
    children
}

/// Scenario 32
#[tokio::test(start_paused = true)]
async fn wherever_a_crash_cuts_the_log_each_follow_up_is_there_exactly_once_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::open(open_log(dir.path()), true);
    house.take("good");
    house.take("bad");
    let taken = house.store.durable();
    taken.wait_past(Position(1), SECOND).unwrap();
    house.come_to_rest().await;
    assert_eq!(children(&house).len(), 5);
    let House { store, lanes, .. } = house;
    for lane in lanes {
        lane.stop().await.unwrap();
    }
    store.close().unwrap();
    drop(store);
    let segment = std::fs::read_dir(dir.path()).unwrap();
    let mut segment = segment.map(|entry| entry.unwrap().path());
    let segment = segment
        .find(|path| path.extension().is_some_and(|own| own == "seg"))
        .unwrap();
    let whole = std::fs::read(&segment).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let events_end = 4_096 + 600;
    let mut reopened = 0;
    for cut in (events_end..end).step_by(97) {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        let copy = tempfile::tempdir().unwrap();
        std::fs::write(copy.path().join(segment.file_name().unwrap()), &torn).unwrap();
        let house = House::open(open_log(copy.path()), false);
        if house.store.durable().upto() < Position(2) {
            continue;
        }
        reopened += 1;
        house.come_to_rest().await;
        let children = children(&house);
        let mut once = children.clone();
        once.dedup();
        assert_eq!(once, children, "cut at {cut}: a follow-up is there twice");
        // Both events have come out, the good one's welcome too; a first attempt that had failed has an alert besides.
        assert!(
            (3..=5).contains(&children.len()),
            "cut at {cut}: {children:?}"
        );
        let welcomes = children.iter().filter(|(lane, ..)| *lane == 2).count();
        assert_eq!(welcomes, 1, "cut at {cut}: {children:?}");
    }
    assert!(reopened > 10, "{reopened} cuts");
}
