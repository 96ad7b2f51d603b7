//! What the product keeps, each as a switch.

/// All rules, kept unless one is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// An event is acknowledged when it is synced.
    pub(crate) syncs_before_acknowledging: bool,
    /// Who writes to the log is refused when a later process opened it.
    pub(crate) checks_epochs: bool,
    /// Nothing is written to a new segment before its name is durable.
    pub(crate) syncs_folders: bool,
    /// What an opening finds is synced before it counts.
    pub(crate) syncs_what_it_found: bool,
    /// A load begins when its claim is durable.
    pub(crate) awaits_claims: bool,
    /// A batch that was claimed comes again as it was.
    pub(crate) remembers_claims: bool,
    /// A batch whose commit record is there is not loaded again.
    pub(crate) looks_at_records: bool,
    /// A load replaces what an earlier load of the same batch left.
    pub(crate) replaces_itself: bool,
    /// A batch is settled when the sink has its commit record.
    pub(crate) commits_before_settling: bool,
    /// What follows from a settled batch is in the frame that settles it.
    pub(crate) settles_with_what_follows: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            syncs_before_acknowledging: true,
            checks_epochs: true,
            syncs_folders: true,
            syncs_what_it_found: true,
            awaits_claims: true,
            remembers_claims: true,
            looks_at_records: true,
            replaces_itself: true,
            commits_before_settling: true,
            settles_with_what_follows: true,
        }
    }
}
