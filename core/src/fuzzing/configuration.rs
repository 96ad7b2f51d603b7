//! Configuration files, whatever somebody wrote into them.

#[cfg(feature = "http")]
use crate::gateway::http::HttpOptions;
use crate::settings::{Environment, Settings};

/// Every mistake is a problem with a place, and the values that are read are within their limits.
pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let environment = Environment::of([
        ("HOME", "/home/it"),
        ("TOKEN", "s3cret\"'\n[x]"),
        ("BLACKSMITH__MEMORY__CAP", "64MiB"),
    ]);
    let Ok(settings) = Settings::parse("fuzzing.toml", text, &environment) else {
        return;
    };
    assert!(settings.memory_bytes >= crate::settings::MEMORY_BYTES_MIN);
    #[cfg(feature = "http")]
    for source in settings.sources {
        let (name, section) = (source.name.clone(), source.section);
        let _options = HttpOptions::read(&name, section);
    }
    for problem in settings.problems.list() {
        assert!(!problem.place.to_string().is_empty());
        assert!(!problem.what.is_empty());
    }
}
