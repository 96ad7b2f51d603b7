//! Tells the guard which compiler built it: what it counts depends on that.

fn main() {
    let compiler = std::env::var("RUSTC").unwrap_or("rustc".into());
    let version = std::process::Command::new(compiler)
        .arg("--version")
        .output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    // "rustc 1.95.0 (...)"
    let version = version.unwrap_or_default();
    let number = version.split(' ').nth(1).unwrap_or("unknown");
    println!("cargo::rustc-env=BLACKSMITH_RUSTC=rustc {number}");
    println!("cargo::rerun-if-changed=build.rs");
}
