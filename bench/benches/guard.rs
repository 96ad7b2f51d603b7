//! The guard: fails when a piece of work takes more instructions than its policy allows. See [`blacksmith_bench::guard`].

use std::process::ExitCode;

fn main() -> ExitCode {
    blacksmith_bench::guard::run()
}
