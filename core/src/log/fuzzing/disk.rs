//! A folder in memory.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::log::disk::{Access, Disk, DiskFile, Lock};
use crate::log::durable::lock;

/// Bytes that one file may have: whoever wants more has lost its way.
const FILE_BYTES_MAX: usize = 4 << 20;

type Content = Arc<Mutex<Vec<u8>>>;

/// Files by name; those of the folder below it under `staged/`. Clones are the same folder.
#[derive(Debug, Clone, Default)]
pub(super) struct Folder(Arc<Mutex<BTreeMap<String, Content>>>);

impl Folder {
    /// Makes a file, or replaces one.
    pub(super) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let content = Arc::new(Mutex::new(bytes));
        lock(&self.0).insert(name(path), content);
    }
}

fn name(path: &Path) -> String {
    let name = path.strip_prefix(super::DIR).unwrap_or(path);
    name.to_string_lossy().into_owned()
}

#[derive(Debug)]
struct File(Content);

impl Disk for Folder {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        if access == Access::Create {
            self.put(path, Vec::new());
        }
        let files = lock(&self.0);
        let content = files.get(&name(path)).ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(File(Arc::clone(content))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.0);
        let content = files.remove(&name(from)).ok_or(ErrorKind::NotFound)?;
        files.insert(name(to), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = lock(&self.0).remove(&name(path));
        removed.map(|_| ()).ok_or(ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let folder = path.ends_with("staged").then_some("staged/");
        let files = lock(&self.0);
        let names = files.keys().filter_map(|name| match folder {
            Some(folder) => name.strip_prefix(folder),
            None => (!name.contains('/')).then_some(name.as_str()),
        });
        Ok(names.map(str::to_owned).collect())
    }

    fn lock(&self, _: &Path, _: &str) -> io::Result<Option<Lock>> {
        Ok(Some(Lock::new(())))
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = lock(&self.0);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = bytes.get(from..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut bytes = lock(&self.0);
        let written: usize = parts.iter().map(|part| part.len()).sum();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = from.saturating_add(written);
        if end > FILE_BYTES_MAX {
            return Err(ErrorKind::StorageFull.into());
        }
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        let mut to = bytes.get_mut(from..end).unwrap_or_default().iter_mut();
        for byte in parts.iter().flat_map(|part| part.iter()) {
            if let Some(to) = to.next() {
                *to = *byte;
            }
        }
        Ok(written)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > FILE_BYTES_MAX {
            return Err(ErrorKind::StorageFull.into());
        }
        lock(&self.0).resize(bytes, 0);
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }
}
