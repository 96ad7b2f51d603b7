//! How much memory one input may take: an allocator that counts, and ends the process at the first byte too many.
//!
//! The system's own allocator does the work. What is alive is counted over all threads; an input begins with what is alive then, and may add
//! so much to it. libFuzzer's own limit looks at the whole process, a second apart, and does not see what is given back in between.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that an input may take however short it is: readers' buffers are here.
const BASE_BYTES: usize = 16 << 20;
/// Bytes that it may take for each of its own.
const BYTES_PER_BYTE: usize = 2048;

static ALIVE: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Counts what it is asked for.
#[derive(Debug)]
pub(crate) struct Counting;

/// An input of so many bytes begins; at its end the limit is lifted.
pub(crate) fn of_input<R>(bytes: usize, run: impl FnOnce() -> R) -> R {
    let allowed = BASE_BYTES + bytes * BYTES_PER_BYTE;
    LIMIT.store(ALIVE.load(Ordering::Relaxed) + allowed, Ordering::Relaxed);
    let done = run();
    LIMIT.store(usize::MAX, Ordering::Relaxed);
    done
}

fn taken(bytes: usize) {
    let before = ALIVE.fetch_add(bytes, Ordering::Relaxed);
    if before.saturating_add(bytes) > LIMIT.load(Ordering::Relaxed) {
        LIMIT.store(usize::MAX, Ordering::Relaxed);
        eprintln!("an input takes more than its share: {bytes} bytes of memory at once, at last");
        eprintln!("{}", std::backtrace::Backtrace::force_capture());
        // An allocator must not unwind. libFuzzer hears of the signal, and keeps the input.
        std::process::abort();
    }
}

fn given_back(bytes: usize) {
    ALIVE.fetch_sub(bytes, Ordering::Relaxed);
}

#[expect(unsafe_code, reason = "an allocator has no safe form")]
// SAFETY: every call is handed to the system's allocator as it came, so all that it promises holds; counting allocates nothing, and what is
// said at the limit does so with the limit lifted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller keeps the same contract with us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        given_back(layout.size());
        // SAFETY: `place` came from `System`, with this layout.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller keeps the same contract with us.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        taken(bytes);
        given_back(layout.size());
        // SAFETY: `place` came from `System`, with this layout, and the caller answers for `bytes`.
        unsafe { System.realloc(place, layout, bytes) }
    }
}
