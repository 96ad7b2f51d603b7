//! A folder in memory that can only be read.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::log::disk::{Access, Disk, DiskFile, Lock};

/// Files by name; those of the folder below it under `staged/`.
#[derive(Debug, Clone, Default)]
pub(super) struct Folder(pub(super) BTreeMap<String, Bytes>);

#[derive(Debug)]
struct Content(Bytes);

fn unsupported<T>() -> io::Result<T> {
    Err(ErrorKind::Unsupported.into())
}

impl Disk for Folder {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        unsupported()
    }

    fn open(&self, path: &Path, _: Access) -> io::Result<Arc<dyn DiskFile>> {
        let name = path.strip_prefix(super::DIR).unwrap_or(path);
        let content = self.0.get(name.to_string_lossy().as_ref());
        let content = content.ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(Content(content.clone())))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        unsupported()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        unsupported()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        unsupported()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let below = path.ends_with("staged");
        let names = self
            .0
            .keys()
            .filter_map(|name| match name.strip_prefix("staged/") {
                Some(name) => below.then(|| name.to_owned()),
                None => (!below).then(|| name.clone()),
            });
        Ok(names.collect())
    }

    fn lock(&self, _: &Path, _: &str) -> io::Result<Option<Lock>> {
        unsupported()
    }
}

impl DiskFile for Content {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.0.get(from..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<usize> {
        unsupported()
    }

    fn sync(&self) -> io::Result<()> {
        unsupported()
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        unsupported()
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}
