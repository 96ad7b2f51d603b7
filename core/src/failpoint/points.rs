//! The list of all places and bugs. `tests/tests/contract/failpoints.rs` holds it against the code.

/// What can be done at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// The process can die or wait there.
    Passes,
    /// That, and the step can fail.
    Fails,
    /// A bug that can be planted.
    Bug,
}

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident $name:literal $nature:ident,)*) => {
        /// A place in the product, or a bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// All of them, in the order in which an event meets them.
            pub(super) const ALL: &[Point] = &[$(Point::$point),*];

            /// Its name in the environment variable.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Point::$point => $name,)*
                }
            }

            pub(super) fn nature(self) -> Nature {
                match self {
                    $(Point::$point => Nature::$nature,)*
                }
            }
        }
    };
}

points! {
    /// The publication was read, and not changed.
    PublicationRead "publication.read" Fails,
    /// The server has the slot, the store does not know it yet.
    SlotMade "slot.made" Fails,
    /// The rows of a range were read, and the store has not seen them or only in staged pieces.
    CopyRead "copy.read" Fails,
    /// The store took a range, with the note that it is done.
    CopyTaken "copy.taken" Fails,
    /// A batch of a backlog was handed to the store, which may not have it durably.
    CatchUpTaken "catch_up.taken" Fails,
    /// The store has a batch of a backlog, and the server keeps it still.
    CatchUpDurable "catch_up.durable" Fails,
    /// The server may forget what the store has, and nothing more was read.
    CatchUpAdvanced "catch_up.advanced" Fails,
    /// The store took the new columns of a table, and none of the rows that have them.
    RelationRecorded "relation.recorded" Fails,
    /// A frame has its positions and waits for the writer.
    LogAccepted "log.accepted" Passes,
    /// A staged transaction is durable, its commit frame is not written.
    StageSynced "stage.synced" Fails,
    /// The writer took a batch, nothing of it is written.
    LogTaken "log.taken" Fails,
    /// A batch is written and not synced.
    LogWritten "log.written" Fails,
    /// A batch is synced, and nobody was told.
    LogSynced "log.synced" Fails,
    /// The next segment is whole with its snapshot, under another name.
    SegmentWritten "segment.written" Fails,
    /// The next segment has its name, which is not durable yet.
    SegmentRenamed "segment.renamed" Fails,
    /// The next segment is there, and the one before does not say that it goes on.
    SegmentBegun "segment.begun" Fails,
    /// An old segment is gone, which is not durable yet.
    SegmentDropped "segment.dropped" Fails,
    /// A server is about to be told what it may forget.
    AckSending "ack.sending" Fails,
    /// A server was told what it may forget.
    AckSent "ack.sent" Fails,
    /// The event of a request is durable, and the client was not answered.
    AnswerDue "answer.due" Passes,
    /// The log took that a span is executing; this is not durable, and the load has not begun.
    LaneRecorded "lane.recorded" Passes,
    /// The span is durably executing, the action has not been called.
    LoadBegun "load.begun" Passes,
    /// All files of a load are whole drafts, none has been announced.
    FilesDrafted "parquet.drafted" Fails,
    /// The files of a load are announced, none has appeared.
    FilesAnnounced "parquet.announced" Fails,
    /// A file, or a record, has its name, which is not durable yet.
    FileRenamed "parquet.renamed" Fails,
    /// All files of a load have appeared, for good, and no record names them.
    FilesPublished "parquet.published" Fails,
    /// The commit record is there, the announcement too.
    CommitRecorded "parquet.recorded" Fails,
    /// The action has reported, and no transition was recorded.
    TransitionsDue "transitions.due" Passes,
    /// The log took the transitions that end a load.
    TransitionsTaken "transitions.taken" Passes,

    /// The server is told that it may forget what is not durable.
    AckBeforeDurable "bug.ack_before_durable" Bug,
    /// Whoever waits until something is durable goes on at once.
    DurableUnawaited "bug.durable_unawaited" Bug,
    /// A range is noted as copied before its rows are in the store.
    RangeNotedFirst "bug.range_noted_first" Bug,
    /// What was executing when the process ended is not taken up as the same span.
    ExecutingForgotten "bug.executing_forgotten" Bug,
    /// A load does not look whether there is a commit record already.
    RecordUnread "bug.record_unread" Bug,
    /// A load reports success before its files are published.
    SettledBeforeCommit "bug.settled_before_commit" Bug,
}
