//! Failpoints: named places where a test lets the process die, fail or wait, and bugs that a test plants.
//!
//! A place is one line of the path it lies in, `failpoint!(LogTaken);`, or `failpoint!(LogTaken?);` where that step can also
//! fail. A planted bug is one, too: `planted!(RangeNotedFirst, self.note(task).await?);`, or a condition,
//! `|| planted!(AckBeforeDurable)`. All of it is there only with the cargo feature `failpoints`, which nothing but the test bench
//! asks for: without it places and bugs expand to nothing, and such a condition to `false`.
//!
//! What is to happen where stands in an environment variable, in a program that calls `configure`:
//!
//! ```text
//! BLACKSMITH_FAILPOINTS="log.synced=kill@3;parquet.renamed=error;bug.ack_before_durable=plant"
//! ```
//!
//! | action | at the n-th time of being there (`@n`, default 1) |
//! |---|---|
//! | `kill` | the process dies by SIGKILL |
//! | `hang` | this thread stands still and everything else goes on; a moment later the process dies by SIGKILL |
//! | `error` | the step fails, once; only at places that can |
//! | `pause:FILE` | makes FILE, and waits until somebody removes it |
//! | `count` | says so on stderr, each time from the n-th on |
//! | `plant` | the bug is in; only for bugs |
//!
//! Each action that is taken is said on stderr first: `failpoint log.synced: kill at 3`. The places and the bugs are listed in
//! `points.rs`, and nowhere else.

#[cfg(any(test, feature = "failpoints"))]
mod points;
#[cfg(any(test, feature = "failpoints"))]
mod plan;
#[cfg(any(test, feature = "failpoints"))]
mod act;

#[cfg(any(test, feature = "failpoints"))]
pub use act::{configure, fail, is_planted, pass};
#[cfg(any(test, feature = "failpoints"))]
pub use points::Point;

/// The environment variable that says what is to happen where.
#[cfg(any(test, feature = "failpoints"))]
pub const VARIABLE: &str = "BLACKSMITH_FAILPOINTS";

/// A place where a test can let the process die or wait; with `?` behind its name, also where the step can fail.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! failpoint {
    ($point:ident) => {
        $crate::failpoint::pass($crate::failpoint::Point::$point)
    };
    ($point:ident ?) => {
        if let Some(error) = $crate::failpoint::fail($crate::failpoint::Point::$point) {
            return Err(error.into());
        }
    };
}

/// A place where a test can let the process die or wait; with `?` behind its name, also where the step can fail.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! failpoint {
    ($point:ident $(?)?) => {};
}

/// Whether a test planted this bug; with a statement behind its name, what is done then.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::failpoint::is_planted($crate::failpoint::Point::$bug)
    };
    ($bug:ident, $done:stmt) => {
        if $crate::failpoint::is_planted($crate::failpoint::Point::$bug) {
            $done
        }
    };
}

/// Whether a test planted this bug; with a statement behind its name, what is done then.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
    ($bug:ident, $done:stmt) => {};
}

/// Without the feature there is nothing to run: the compiler would refuse a call here.
#[cfg(not(feature = "failpoints"))]
const _: () = {
    failpoint!(LogTaken);
    failpoint!(LogTaken?);
    planted!(RangeNotedFirst, panic!());
    assert!(!planted!(AckBeforeDurable));
};
