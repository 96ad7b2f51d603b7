//! The compiler as the fuzzer needs it: cargo calls this program in place of `rustc`, but only for crates of the workspace.
//!
//! So our own crates are compiled with coverage that libFuzzer reads, and with `--cfg fuzzing`, while everything that they depend
//! on is taken as an ordinary build left it: this is what makes a run cheap. `RUSTFLAGS` would compile all of it again.

use std::process::{Command, ExitCode};

/// Set for the cargo that builds the fuzzer: this program is called as a compiler then.
pub(crate) const AS_COMPILER: &str = "BLACKSMITH_FUZZ_COMPILER";

/// What libFuzzer wants of LLVM, on the stable compiler: edges with counters, where they are, and what is compared.
const COVERAGE: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// Runs the compiler named by the first argument with the others, and with coverage where it compiles a crate of ours.
pub(crate) fn rustc(arguments: &[&str]) -> ExitCode {
    let Some((compiler, rest)) = arguments.split_first() else {
        eprintln!("{AS_COMPILER} is for cargo alone: unset it");
        return ExitCode::FAILURE;
    };
    let mut command = Command::new(compiler);
    command.args(rest);
    if is_ours(rest) {
        command.args(COVERAGE);
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot run {compiler}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Cargo also asks the compiler about itself, without a crate.
fn is_ours(arguments: &[&str]) -> bool {
    let mut pairs = arguments.windows(2);
    pairs.any(|pair| pair[0] == "--crate-name" && pair[1].starts_with("blacksmith"))
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn only_crates_of_ours_are_compiled_with_coverage() {
        assert!(is_ours(&["--crate-name", "blacksmith_core", "src/lib.rs"]));
        assert!(!is_ours(&["--crate-name", "___", "--print=file-names"]));
        assert!(!is_ours(&["-vV"]));
    }
}
