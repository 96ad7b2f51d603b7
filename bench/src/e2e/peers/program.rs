//! The programs that have peers do our work, and how they and what they need are installed: by package, below a folder of theirs.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::launcher::Launcher;
use super::said;
use crate::e2e::Result;
use crate::e2e::folder::{self, at};

/// Heap and collector with which Debezium was fastest here; by default a JVM takes a quarter of the machine.
const JVM: [&str; 2] = ["-XX:+UseParallelGC", "-Xmx1g"];

/// A program below `bench/peers`.
#[derive(Debug)]
pub(super) enum Program {
    /// A script, and packages of pip's.
    Python {
        script: &'static str,
        packages: &'static [&'static str],
    },
    /// A project of Maven's that compiles into `classes` and copies what it needs into `lib`; the class that is run.
    Maven {
        project: &'static str,
        class: &'static str,
    },
}

impl Program {
    /// Installs below `home` what is not there yet.
    pub(super) fn install(&self, home: &Path) -> Result<Launcher> {
        fs::create_dir_all(home).map_err(|error| at(home, &error))?;
        let said = home.join("said");
        match self {
            Program::Python { script, packages } => {
                let folder = packages_of_pip(packages, home)?;
                Ok(Launcher {
                    command: "python3",
                    words: vec![source(script).into()],
                    environment: vec![
                        ("PYTHONPATH", folder.into()),
                        // Nothing is left beside the script.
                        ("PYTHONDONTWRITEBYTECODE", "1".into()),
                    ],
                    said,
                })
            }
            Program::Maven { project, class } => {
                let class_path = built_by_maven(project, home)?;
                let mut words: Vec<OsString> = JVM.map(OsString::from).into();
                words.extend(["-cp".into(), class_path, (*class).into()]);
                Ok(Launcher {
                    command: "java",
                    words,
                    environment: Vec::new(),
                    said,
                })
            }
        }
    }
}

/// A file or folder of `bench/peers`.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// The folder with these packages: installed now unless exactly they were before.
fn packages_of_pip(packages: &[&str], home: &Path) -> Result<PathBuf> {
    let (folder, list) = (home.join("packages"), home.join("installed"));
    let wanted = packages.join("\n");
    if fs::read_to_string(&list).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    eprintln!("installing {} by pip", packages.join(", "));
    folder::remove(&folder)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--target"])
        .arg(&folder)
        .args(packages);
    said::quietly("pip", &mut pip, &home.join("said")).map_err(|why| {
        format!("{why}; it takes python3 with pip, and a package index that pip can reach")
    })?;
    fs::write(&list, wanted).map_err(|error| at(&list, &error))?;
    Ok(folder)
}

/// The class path of a project, built now: Maven knows what there is left to do.
fn built_by_maven(project: &str, home: &Path) -> Result<OsString> {
    let output = home.join("build");
    let mut setting = OsString::from("-Doutput=");
    setting.push(&output);
    let mut maven = Command::new("mvn");
    maven
        .args(["--quiet", "--batch-mode", "--file"])
        .arg(source(project).join("pom.xml"))
        .arg(setting)
        .arg("compile");
    said::quietly("mvn", &mut maven, &home.join("said")).map_err(|why| {
        format!("{why}; it takes a JDK from 17 on, mvn, and a repository that mvn can reach")
    })?;
    let parts = [output.join("classes"), output.join("lib").join("*")];
    std::env::join_paths(parts).map_err(|error| format!("{}: {error}", output.display()))
}
