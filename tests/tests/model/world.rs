//! A disk, a sink, and places for two processes; and everything that can happen next.
//!
//! Bounds: two events, three openings of the log, one load that fails, one new segment. Steps that the product does under one
//! lock, or of which a crash between them only means that somebody learns less, are one step here.

use crate::rules::Rules;

const EVENTS: u8 = 2;
const OPENINGS: u8 = 3;
const FAILURES: u8 = 1;
const SEGMENTS: usize = 2;
/// A segment of so many frames may be followed by another.
const FRAMES_OF_SEGMENT: usize = 3;

/// Some events: a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Batch(u8);

impl Batch {
    fn of(event: u8) -> Batch {
        Batch(1 << event)
    }

    fn with(self, other: Batch) -> Batch {
        Batch(self.0 | other.0)
    }

    fn without(self, other: Batch) -> Batch {
        Batch(self.0 & !other.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn intersects(self, other: Batch) -> bool {
        self.0 & other.0 != 0
    }

    fn first(self) -> Batch {
        Batch(self.0 & self.0.wrapping_neg())
    }

    fn events(self) -> impl Iterator<Item = u8> {
        (0..EVENTS).filter(move |event| self.intersects(Batch::of(*event)))
    }
}

/// What stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Frame {
    Event(u8),
    /// A process of this epoch writes from here on.
    Opened(u8),
    /// The batch is about to be loaded.
    Claim(Batch),
    /// The batch is loaded. What follows from it is in here too, or comes as a frame of its own.
    Settled(Batch, Follows),
    Follow(Batch),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Follows {
    Here,
    Apart,
}

/// A segment, as the page cache has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct File {
    frames: Vec<Frame>,
    /// How many of them are on the platter.
    synced: usize,
    /// Whether its name is.
    is_named: bool,
}

/// How far a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Begun,
    /// Its rows are there for everybody to see.
    Published,
    /// The sink has its commit record.
    Recorded,
}

/// What a process knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Process {
    epoch: u8,
    /// The log, as it was found and as it was written since.
    log: Vec<Frame>,
    /// How many frames of it are durable, it thinks.
    durable: usize,
    /// Whether it has begun a segment whose name is not durable, and waits for that.
    is_rolling: bool,
    load: Option<(Batch, Phase)>,
    /// A batch whose follow-up it has not written.
    owes: Option<Batch>,
}

/// Rows and commit records, by batch, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Sink {
    published: Vec<Batch>,
    recorded: Vec<Batch>,
}

/// What happens; the number is the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Open(usize),
    Append(usize, u8),
    SyncAndAcknowledge(usize),
    BeginSegment(usize),
    SyncFolder(usize),
    Claim(usize, Batch),
    BeginLoad(usize, Batch),
    Publish(usize, Batch),
    Record(usize, Batch),
    FailToLoad(usize),
    Settle(usize, Batch),
    Follow(usize, Batch),
    /// It learns that another has taken over, and ends.
    MeetFence(usize),
    Kill(usize),
    /// So many frames of each file are left; none where the file is gone.
    CutPower(Vec<Option<usize>>),
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct World {
    files: Vec<File>,
    processes: [Option<Process>; 2],
    sink: Sink,
    sent: u8,
    acknowledged: Batch,
    openings: u8,
    failures: u8,
    /// The frames that were durable before the last step.
    witness: Vec<Frame>,
}

/// The events of a log.
fn events(log: &[Frame]) -> Batch {
    let events = log.iter().filter_map(|frame| match frame {
        Frame::Event(event) => Some(Batch::of(*event)),
        _ => None,
    });
    events.fold(Batch::default(), Batch::with)
}

fn settled(log: &[Frame]) -> Batch {
    let settled = log.iter().filter_map(|frame| match frame {
        Frame::Settled(batch, _) => Some(*batch),
        _ => None,
    });
    settled.fold(Batch::default(), Batch::with)
}

fn epoch(log: &[Frame]) -> u8 {
    let epochs = log.iter().filter_map(|frame| match frame {
        Frame::Opened(epoch) => Some(*epoch),
        _ => None,
    });
    epochs.max().unwrap_or(0)
}

impl Process {
    /// The claim that is not settled, with its place.
    fn claim(&self, rules: &Rules) -> Option<(usize, Batch)> {
        let own = match rules.remembers_claims {
            true => 0,
            false => self
                .log
                .iter()
                .position(|frame| *frame == Frame::Opened(self.epoch))?,
        };
        let settled = settled(&self.log);
        let claims = self.log.iter().enumerate().skip(own);
        claims.rev().find_map(|(at, frame)| match frame {
            Frame::Claim(batch) if !batch.intersects(settled) => Some((at, *batch)),
            _ => None,
        })
    }
}

impl World {
    /// All that can happen next, and what comes of it.
    pub(crate) fn steps(&self, rules: &Rules) -> Vec<(Step, World)> {
        let mut steps = Vec::new();
        if let Some(free) = self.processes.iter().position(Option::is_none)
            && self.openings < OPENINGS
        {
            steps.push((Step::Open(free), self.opened(rules, free)));
        }
        for (index, process) in self.processes.iter().enumerate() {
            if let Some(process) = process {
                self.steps_of(rules, index, process, &mut steps);
            }
        }
        // Somebody must be left to go on.
        if self.openings < OPENINGS {
            for index in 0..self.processes.len() {
                if self.processes[index].is_some() {
                    steps.push((Step::Kill(index), self.with(index, None)));
                }
            }
            steps.extend(self.cuts());
        }
        for (_, world) in &mut steps {
            world.witness = self.durable();
        }
        steps
    }

    fn steps_of(
        &self,
        rules: &Rules,
        index: usize,
        process: &Process,
        steps: &mut Vec<(Step, World)>,
    ) {
        let mut add = |step, world: Option<World>| {
            // A write that is refused ends the process.
            let (step, world) = match world {
                Some(world) => (step, world),
                None => (Step::MeetFence(index), self.with(index, None)),
            };
            steps.push((step, world));
        };
        if process.is_rolling {
            add(
                Step::SyncFolder(index),
                self.folder_synced(rules, index, process),
            );
            return;
        }
        if self.sent < EVENTS {
            let appended = self.appended(rules, index, process, Frame::Event(self.sent));
            let appended = appended.map(|mut world| {
                if !rules.syncs_before_acknowledging {
                    world.acknowledged = world.acknowledged.with(Batch::of(self.sent));
                }
                world.sent += 1;
                world
            });
            add(Step::Append(index, self.sent), appended);
        }
        if process.durable < process.log.len() {
            add(
                Step::SyncAndAcknowledge(index),
                self.synced(rules, index, process),
            );
        }
        if self.files.len() < SEGMENTS && process.log.len() >= FRAMES_OF_SEGMENT {
            add(
                Step::BeginSegment(index),
                self.rolled(rules, index, process),
            );
        }
        if let Some(batch) = process.owes {
            let paid = Process {
                owes: None,
                ..process.clone()
            };
            let followed = self.appended(rules, index, &paid, Frame::Follow(batch));
            add(Step::Follow(index, batch), followed);
        }
        match (process.load, process.claim(rules)) {
            (Some((batch, phase)), _) => self.load(rules, index, process, batch, phase, &mut add),
            (None, Some((at, batch))) => {
                if at < process.durable || !rules.awaits_claims {
                    let phase = match rules.looks_at_records && self.sink.recorded.contains(&batch)
                    {
                        true => Phase::Recorded,
                        false => Phase::Begun,
                    };
                    let begun = self.with_load(index, process, Some((batch, phase)));
                    add(Step::BeginLoad(index, batch), Some(begun));
                }
            }
            (None, None) => {
                let durable = &process.log[..process.durable];
                let free = events(durable).without(settled(&process.log));
                let mut batches = vec![free.first(), free];
                batches.dedup();
                for batch in batches.into_iter().filter(|batch| !batch.is_empty()) {
                    let claimed = self.appended(rules, index, process, Frame::Claim(batch));
                    add(Step::Claim(index, batch), claimed);
                }
            }
        }
    }

    /// What a load does next.
    fn load(
        &self,
        rules: &Rules,
        index: usize,
        process: &Process,
        batch: Batch,
        phase: Phase,
        add: &mut impl FnMut(Step, Option<World>),
    ) {
        match phase {
            Phase::Begun => {
                if let Some(sink) = self.sink.publish(rules, batch) {
                    let mut world = self.with_load(index, process, Some((batch, Phase::Published)));
                    world.sink = sink;
                    add(Step::Publish(index, batch), Some(world));
                }
            }
            Phase::Published => {
                let mut world = self.with_load(index, process, Some((batch, Phase::Recorded)));
                world.sink.record(batch);
                add(Step::Record(index, batch), Some(world));
            }
            Phase::Recorded => {}
        }
        if phase != Phase::Recorded && self.failures < FAILURES {
            let mut world = self.with_load(index, process, None);
            world.failures += 1;
            add(Step::FailToLoad(index), Some(world));
        }
        if phase == Phase::Recorded || !rules.commits_before_settling {
            let follows = match rules.settles_with_what_follows {
                true => Follows::Here,
                false => Follows::Apart,
            };
            let after = Process {
                load: None,
                owes: (follows == Follows::Apart).then_some(batch),
                ..process.clone()
            };
            let settled = self.appended(rules, index, &after, Frame::Settled(batch, follows));
            add(Step::Settle(index, batch), settled);
        }
    }

    fn with(&self, index: usize, process: Option<Process>) -> World {
        let mut world = self.clone();
        world.processes[index] = process;
        world
    }

    fn with_load(&self, index: usize, process: &Process, load: Option<(Batch, Phase)>) -> World {
        let process = process.clone();
        self.with(index, Some(Process { load, ..process }))
    }

    /// What the page cache shows.
    fn log(&self) -> Vec<Frame> {
        self.files
            .iter()
            .flat_map(|file| file.frames.iter().copied())
            .collect()
    }

    /// What no power cut can take any more.
    fn durable(&self) -> Vec<Frame> {
        let mut durable = Vec::new();
        for file in self.files.iter().take_while(|file| file.is_named) {
            durable.extend(&file.frames[..file.synced]);
            if file.synced < file.frames.len() {
                break;
            }
        }
        durable
    }

    fn is_fenced(&self, rules: &Rules, process: &Process) -> bool {
        rules.checks_epochs && epoch(&self.log()) > process.epoch
    }

    /// A process begins in a free place, whoever is in the other: it reads the log and says that it is there.
    fn opened(&self, rules: &Rules, index: usize) -> World {
        let mut world = self.clone();
        if world.files.is_empty() {
            world.files.push(File::default());
        }
        let epoch = epoch(&world.log()) + 1;
        if let Some(last) = world.files.last_mut() {
            last.frames.push(Frame::Opened(epoch));
        }
        for file in &mut world.files {
            file.is_named |= rules.syncs_folders;
            if rules.syncs_what_it_found {
                file.synced = file.frames.len();
            }
        }
        let log = world.log();
        world.acknowledged = match rules.syncs_what_it_found {
            true => world.acknowledged,
            // What it takes for durable it says to whoever asks.
            false => world.acknowledged.with(events(&log)),
        };
        world.openings += 1;
        world.processes[index] = Some(Process {
            epoch,
            durable: log.len(),
            log,
            is_rolling: false,
            load: None,
            owes: None,
        });
        world
    }

    /// Writes a frame where the process thinks that the log ends; none when it is refused.
    fn appended(
        &self,
        rules: &Rules,
        index: usize,
        process: &Process,
        frame: Frame,
    ) -> Option<World> {
        if self.is_fenced(rules, process) {
            return None;
        }
        let mut world = self.clone();
        world.cut_behind(process.log.len());
        world.files.last_mut()?.frames.push(frame);
        let mut process = process.clone();
        process.log.push(frame);
        world.processes[index] = Some(process);
        Some(world)
    }

    /// Frames from this place on are written over.
    fn cut_behind(&mut self, frames: usize) {
        let mut left = frames;
        for file in &mut self.files {
            let kept = left.min(file.frames.len());
            file.frames.truncate(kept);
            file.synced = file.synced.min(kept);
            left -= kept;
        }
    }

    fn synced(&self, rules: &Rules, index: usize, process: &Process) -> Option<World> {
        if self.is_fenced(rules, process) {
            return None;
        }
        let mut world = self.clone();
        for file in &mut world.files {
            file.synced = file.frames.len();
        }
        let durable = process.log.len();
        world.acknowledged = world.acknowledged.with(events(&process.log));
        Some(world.with(
            index,
            Some(Process {
                durable,
                ..process.clone()
            }),
        ))
    }

    /// A new segment, after all before it is synced.
    fn rolled(&self, rules: &Rules, index: usize, process: &Process) -> Option<World> {
        let mut world = self.synced(rules, index, process)?;
        world.files.push(File::default());
        if let Some(process) = &mut world.processes[index] {
            process.is_rolling = rules.syncs_folders;
        }
        Some(world)
    }

    fn folder_synced(&self, rules: &Rules, index: usize, process: &Process) -> Option<World> {
        if self.is_fenced(rules, process) {
            return None;
        }
        let mut world = self.clone();
        for file in &mut world.files {
            file.is_named = true;
        }
        let process = process.clone();
        Some(world.with(
            index,
            Some(Process {
                is_rolling: false,
                ..process
            }),
        ))
    }

    /// The power goes: of each file any frames are left that include the synced ones, and one without a name may be gone.
    fn cuts(&self) -> Vec<(Step, World)> {
        let mut choices: Vec<Vec<Option<usize>>> = vec![Vec::new()];
        for file in &self.files {
            let gone = (!file.is_named).then_some(None);
            let left = (file.synced..=file.frames.len()).map(Some);
            let options: Vec<Option<usize>> = gone.into_iter().chain(left).collect();
            let longer = choices.iter().flat_map(|choice| {
                options
                    .iter()
                    .map(move |option| [&choice[..], &[*option]].concat())
            });
            choices = longer.collect();
        }
        let cuts = choices
            .into_iter()
            .map(|choice| (Step::CutPower(choice.clone()), self.cut(&choice)));
        cuts.collect()
    }

    fn cut(&self, left: &[Option<usize>]) -> World {
        let mut world = self.clone();
        world.processes = [None, None];
        world.files.clear();
        for (file, left) in self.files.iter().zip(left) {
            // Behind a gap nothing is found.
            let Some(left) = left else { break };
            world.files.push(File {
                frames: file.frames[..*left].to_vec(),
                synced: *left,
                is_named: true,
            });
            if *left < file.frames.len() {
                break;
            }
        }
        world
    }

    /// What is wrong here.
    pub(crate) fn flaw(&self) -> Option<String> {
        let log = self.log();
        let gone = self.acknowledged.without(events(&log));
        if let Some(event) = gone.events().next() {
            return Some(format!("event {event} was acknowledged and is gone"));
        }
        if !log.starts_with(&self.witness) {
            return Some("what was durable has been rewritten".to_owned());
        }
        if let Some(event) = (0..EVENTS).find(|event| self.sink.copies(*event) > 1) {
            return Some(format!("event {event} is at the sink twice"));
        }
        let settled = settled(&log);
        if let Some(event) = settled.events().find(|event| self.sink.copies(*event) != 1) {
            return Some(format!("event {event} is settled and not at the sink"));
        }
        self.lost_follow_up(&log)
    }

    fn lost_follow_up(&self, log: &[Frame]) -> Option<String> {
        let mut settled = log.iter().filter_map(|frame| match frame {
            Frame::Settled(batch, Follows::Apart) => Some(*batch),
            _ => None,
        });
        let is_lost = |batch: &Batch| {
            let is_owed = self
                .processes
                .iter()
                .flatten()
                .any(|process| process.owes == Some(*batch));
            !is_owed && !log.contains(&Frame::Follow(*batch))
        };
        let batch = settled.find(is_lost)?;
        Some(format!("what should follow from {batch:?} never follows"))
    }

    /// Whether every event that is in the log is settled.
    pub(crate) fn is_done(&self) -> bool {
        let log = self.log();
        let owes = self
            .processes
            .iter()
            .flatten()
            .any(|process| process.owes.is_some());
        events(&log) == settled(&log) && !owes
    }
}

impl Sink {
    fn copies(&self, event: u8) -> usize {
        let own = Batch::of(event);
        self.published
            .iter()
            .filter(|batch| batch.intersects(own))
            .count()
    }

    /// The sink with the rows of `batch`; none when it refuses: some of its events are recorded in another batch.
    fn publish(&self, rules: &Rules, batch: Batch) -> Option<Sink> {
        let is_other = |recorded: &Batch| *recorded != batch && recorded.intersects(batch);
        if rules.looks_at_records && self.recorded.iter().any(is_other) {
            return None;
        }
        let mut sink = self.clone();
        if !rules.replaces_itself || !sink.published.contains(&batch) {
            sink.published.push(batch);
            sink.published.sort_unstable();
        }
        Some(sink)
    }

    fn record(&mut self, batch: Batch) {
        if !self.recorded.contains(&batch) {
            self.recorded.push(batch);
            self.recorded.sort_unstable();
        }
    }
}
