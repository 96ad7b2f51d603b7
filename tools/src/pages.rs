//! How the process takes memory from the system.

/// Has the system give memory in small pages only, whatever it does for other processes.
///
/// Threads that decode and encode come and go, and each takes some KiB here and there. In pages of 2 MiB, which the
/// allocator asks for and many systems give anyway, they held four times what they used (300 tables: 326 MiB instead
/// of 76), and the time to clear those pages was a third of all. A system that does not let us choose is as before.
pub(crate) fn only_small() {
    #[cfg(target_os = "linux")]
    let _denied = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_gives_this_process_no_huge_pages() {
        only_small();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let said = status
            .lines()
            .find_map(|line| line.strip_prefix("THP_enabled:"));
        assert_eq!(said.map(str::trim), Some("0"), "{status}");
    }
}
