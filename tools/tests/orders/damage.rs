//! A store that is damaged: refused, looked at, and salvaged when somebody says so.

use std::path::PathBuf;

use crate::endpoint::Endpoint;
use crate::house::House;

fn segment(house: &House) -> PathBuf {
    let files = std::fs::read_dir(house.folder().join("data")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let mut segments = files.filter(|path| path.extension().is_some_and(|end| end == "seg"));
    segments.next().unwrap()
}

/// Flips a bit of each of these texts where they stand in the log.
fn damage(house: &House, texts: &[&str]) {
    let path = segment(house);
    let mut bytes = std::fs::read(&path).unwrap();
    for text in texts {
        let mut found = bytes.windows(text.len());
        let at = found.position(|window| window == text.as_bytes()).unwrap();
        bytes[at] ^= 1;
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_store_is_refused_and_salvage_keeps_every_other_event_and_says_what_is_lost() {
    let endpoint = Endpoint::answering(&[]);
    let house = House::new(&endpoint, "interval = '@every 1h'");
    house.sign_up(&["Ada", "Bob", "Cleo", "Dora", "Emil", "Fritz"]);
    let bob = house.jobs("acknowledged").swap_remove(4);
    house.ordered(&["jobs", "pause", &bob]);
    damage(&house, &["Bob", "Fritz"]);
    let before = std::fs::read(segment(&house)).unwrap();

    let refused = house.output(&["run", "--until", "caught-up"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("store repair --salvage"), "{said}");
    let looked = house.output(&["store", "repair"]);
    assert_eq!(looked.status.code(), Some(1), "{looked:?}");
    assert_eq!(std::fs::read(segment(&house)).unwrap(), before);

    let salvaged = &house.listed(&["store", "repair", "--salvage"])[0];
    assert_eq!(
        (&salvaged["lost"], &salvaged["events"]),
        (&2.into(), &4.into()),
        "{salvaged}"
    );
    let verified = &house.listed(&["store", "verify"])[0];
    assert_eq!(verified["sound"], true, "{verified}");
    assert_eq!(verified["lost"].as_array().unwrap().len(), 2, "{verified}");
    let caught_up = house.output(&["run", "--until", "caught-up"]);
    assert!(caught_up.status.success(), "{caught_up:?}");
    let mut loaded: Vec<String> = (0..4)
        .map(|_| endpoint.next()["name"].as_str().unwrap().to_owned())
        .collect();
    loaded.sort_unstable();
    assert_eq!(loaded, ["Ada", "Cleo", "Dora", "Emil"]);
    assert!(endpoint.is_quiet());
    let discarded = house.listed(&["transitions", "--status", "discarded"]);
    let error = discarded[0]["error"].as_str().unwrap();
    assert!(error.contains("its event was lost"), "{discarded:?}");
    assert_eq!(house.jobs("succeeded").len(), 4);
    let again = &house.listed(&["store", "repair", "--salvage"])[0];
    assert_eq!(again["lost"], 0, "there is nothing to do: {again}");
    assert_eq!(again["lost_before"], verified["lost"], "{again}");
}
