//! What every [`Folder`] must do.

use std::io::Write;

use blacksmith_core::finding::Severity;
use bytes::Bytes;

use super::{Draft, Folder, numbered};

/// Runs every claim on a folder that is new.
pub(crate) async fn conforms(folder: &dyn Folder) {
    folder.create().await.unwrap();
    folder
        .create()
        .await
        .expect("creating it again changes nothing");
    a_new_folder_is_empty(folder).await;
    a_file_appears_when_it_is_published_and_not_before(folder).await;
    what_is_dropped_never_appears(folder).await;
    a_small_file_is_put_read_replaced_and_removed(folder).await;
    names_come_after_the_one_asked_for(folder).await;
    the_newest_name_is_the_greatest_number(folder).await;
    a_check_leaves_nothing(folder).await;
}

fn write(folder: &dyn Folder, directory: &str, tag: &str, content: &[u8]) -> Box<dyn Draft> {
    let mut draft = folder.draft(directory, tag).unwrap();
    for piece in content.chunks(1 << 20) {
        draft.write_all(piece).unwrap();
    }
    draft
}

async fn a_new_folder_is_empty(folder: &dyn Folder) {
    assert!(folder.directories().await.unwrap().is_empty());
    assert!(folder.names("a.t", "").await.unwrap().is_empty());
    assert_eq!(folder.read("a.t/x", 10).await.unwrap(), None);
    assert_eq!(folder.newest("_commits", ".json").await.unwrap(), None);
    folder
        .remove("a.t/x")
        .await
        .expect("removing what is not there is fine");
}

async fn a_file_appears_when_it_is_published_and_not_before(folder: &dyn Folder) {
    // Longer than what an object store takes in one part.
    let long: Vec<u8> = (0..20_000_000u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    for (name, content) in [
        ("1.parquet", &long[..]),
        ("2.parquet", b"short"),
        ("3.parquet", b""),
    ] {
        let path = format!("a.t/{name}");
        let draft = write(folder, "a.t", name, content);
        assert_eq!(
            folder.read(&path, 1 << 30).await.unwrap(),
            None,
            "not while it is written"
        );
        let sealed = tokio::task::block_in_place(|| draft.seal(name).unwrap());
        assert_eq!(
            folder.read(&path, 1 << 30).await.unwrap(),
            None,
            "not when it is sealed"
        );
        sealed.publish().await.unwrap();
        folder.settle(&["a.t"]).await.unwrap();
        let found = folder
            .read(&path, 1 << 30)
            .await
            .unwrap()
            .expect("it is there");
        assert!(found == content, "{name} reads as it was written");
    }
    let again = write(folder, "a.t", "again", b"another");
    let sealed = tokio::task::block_in_place(|| again.seal("2.parquet").unwrap());
    sealed.publish().await.unwrap();
    assert_eq!(
        folder.read("a.t/2.parquet", 10).await.unwrap(),
        Some(Bytes::from("another"))
    );
    assert_eq!(folder.directories().await.unwrap(), ["a.t"]);
}

async fn what_is_dropped_never_appears(folder: &dyn Folder) {
    drop(write(folder, "a.dropped", "1", b"never"));
    let draft = write(folder, "a.dropped", "2", &vec![7; 12 << 20]);
    drop(tokio::task::block_in_place(|| {
        draft.seal("2.parquet").unwrap()
    }));
    assert!(folder.names("a.dropped", "").await.unwrap().is_empty());
}

async fn a_small_file_is_put_read_replaced_and_removed(folder: &dyn Folder) {
    let path = "_commits/.pending";
    for content in ["one", "two"] {
        folder.put(path, content.into()).await.unwrap();
        assert_eq!(
            folder.read(path, 3).await.unwrap(),
            Some(Bytes::from(content))
        );
    }
    folder.read(path, 2).await.expect_err("longer than allowed");
    assert_eq!(folder.names("_commits", "").await.unwrap(), [".pending"]);
    folder.remove(path).await.unwrap();
    assert_eq!(folder.read(path, 3).await.unwrap(), None);
    folder.remove(path).await.unwrap();
}

async fn names_come_after_the_one_asked_for(folder: &dyn Folder) {
    for name in ["a%2Fb", "a%2Fc", "z"] {
        folder
            .put(&format!("b%2E.t/{name}"), "".into())
            .await
            .unwrap();
    }
    let mut names = folder.names("b%2E.t", "a%2Fb").await.unwrap();
    names.sort();
    assert_eq!(names, ["a%2Fc", "z"]);
    assert!(
        folder
            .directories()
            .await
            .unwrap()
            .contains(&"b%2E.t".to_owned())
    );
}

async fn the_newest_name_is_the_greatest_number(folder: &dyn Folder) {
    for number in [0, 7, 99, 1_000_000_007, u64::MAX / 3, u64::MAX] {
        let name = format!("{number:020}.json");
        folder
            .put(&format!("_commits/{name}"), "{}".into())
            .await
            .unwrap();
        folder.put("_commits/.pending", "{}".into()).await.unwrap();
        folder
            .put("_commits/readme.txt", "{}".into())
            .await
            .unwrap();
        assert_eq!(
            folder.newest("_commits", ".json").await.unwrap(),
            Some(name)
        );
    }
}

async fn a_check_leaves_nothing(folder: &dyn Folder) {
    let before = folder.directories().await.unwrap();
    let found = folder.check().await;
    assert!(
        found
            .iter()
            .all(|finding| finding.severity != Severity::Problem),
        "{found:?}"
    );
    assert_eq!(folder.directories().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    conforms(&super::memory::MemoryFolder::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_folder_conforms() {
    let outer = tempfile::tempdir().unwrap();
    conforms(&super::LocalFolder::new(outer.path().join("new/lake"))).await;
}

#[test]
fn a_numbered_name_has_twenty_digits_and_its_suffix() {
    assert_eq!(numbered("00000000000000000042.json", ".json"), Some(42));
    for other in [
        "42.json",
        "00000000000000000042",
        "99999999999999999999.json",
        ".json",
    ] {
        assert_eq!(numbered(other, ".json"), None, "{other}");
    }
}
