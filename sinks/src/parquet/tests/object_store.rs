//! An object store that throttles and times out: at every request of a load, before and after its effect.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::object_store::memory::InMemory;
use ::object_store::path::Path;
use ::object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use async_trait::async_trait;
use blacksmith_core::error::Kind;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::*;
use crate::parquet::folder::object::ObjectFolder;

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// "Slow down": nothing has happened.
    Throttled,
    /// The answer never came, and what was asked has been done.
    TimedOut,
}

/// A store whose requests are counted, and some of which fail.
#[derive(Debug, Clone, Default)]
struct Faulty {
    inner: Arc<InMemory>,
    requests: Arc<AtomicUsize>,
    /// Which request fails first, how many do from there on, and how.
    failing: Option<(usize, usize, Fault)>,
}

impl Faulty {
    /// The same objects behind requests that do what `failing` says.
    fn failing(&self, first: usize, many: usize, fault: Fault) -> Faulty {
        Faulty {
            inner: Arc::clone(&self.inner),
            requests: Arc::default(),
            failing: Some((first, many, fault)),
        }
    }

    fn folder(&self) -> ObjectFolder {
        ObjectFolder::new(Arc::new(self.clone()), Path::from("lake"), "memory:///lake")
    }

    /// Counts a request; how it fails, if it does.
    fn request(&self) -> Option<Fault> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let (first, many, fault) = self.failing?;
        (first..first + many).contains(&number).then_some(fault)
    }

    /// The outcome of a request whose effect is `work`.
    async fn answered<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.request() {
            None => work.await,
            Some(Fault::Throttled) => Err(failure("503 Slow Down")),
            Some(Fault::TimedOut) => {
                work.await?;
                Err(failure("operation timed out"))
            }
        }
    }
}

fn failure(why: &str) -> ::object_store::Error {
    ::object_store::Error::Generic {
        store: "faulty",
        source: why.into(),
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.answered(self.inner.put_opts(at, payload, options))
            .await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.answered(self.inner.put_multipart_opts(at, options))
            .await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.answered(self.inner.get_opts(at, options)).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let own = self.clone();
        let deleted = paths.and_then(move |path| {
            let own = own.clone();
            async move {
                let one = stream::once(async move { Ok(path) }).boxed();
                let mut deleted = own.inner.delete_stream(one);
                own.answered(async { deleted.next().await.expect("one for one") })
                    .await
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.request() {
            None => self.inner.list(prefix),
            Some(_) => stream::once(async { Err(failure("503 Slow Down")) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.answered(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.answered(self.inner.copy_opts(from, to, options)).await
    }
}

fn batch(attempt: u32) -> Batch {
    let tables = vec![rows(1, "a.t", 1, 3), rows(2, "a.u", 4, 6)];
    Batch::new(1, 6, tables).attempt(attempt)
}

/// How many requests a start and a load make when nothing fails.
async fn requests_of_a_load() -> usize {
    let store = Faulty::default();
    let lake = lake(store.folder());
    init(&lake, &toolkit()).await.unwrap();
    assert!(load(&lake, batch(1)).await.unwrap());
    store.requests.load(Ordering::Relaxed)
}

/// The same process tries again, and so does another.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_throttles_and_times_out_at_any_request_has_each_row_once_in_the_end() {
    let requests = requests_of_a_load().await;
    assert!(requests > 5, "{requests} requests");
    let mut failed = 0;
    for fault in [Fault::Throttled, Fault::TimedOut] {
        for first in 0..requests {
            for many in [1, 2, 1_000] {
                for restarted in [false, true] {
                    let store = Faulty::default();
                    let sick = store.failing(first, many, fault);
                    let before = lake(sick.folder());
                    let told = match init(&before, &toolkit()).await {
                        Ok(()) => load(&before, batch(1)).await.map(drop),
                        refused => refused,
                    };
                    if let Err(error) = told {
                        assert_eq!(error.kind(), Kind::Unavailable, "{fault:?} {first} {many}");
                        failed += 1;
                    }
                    // Whatever became of it, the next attempt at a well store succeeds.
                    let well = lake(store.folder());
                    let (next, attempt) = match restarted || many == 1_000 {
                        true => (&well, 2),
                        false => (&before, 2),
                    };
                    init(next, &toolkit()).await.ok(); // the second start of a lake that has begun
                    let mut loaded = load(next, batch(attempt)).await;
                    for attempt in 3..6 {
                        if loaded.is_err() {
                            loaded = load(next, batch(attempt)).await;
                        }
                    }
                    assert!(loaded.unwrap(), "{fault:?} {first} {many} {restarted}");
                    assert_eq!(
                        sequence(&store.folder()).await,
                        [1, 2, 3, 4, 5, 6],
                        "{fault:?} {first} {many} {restarted}"
                    );
                }
            }
        }
    }
    assert!(failed > requests, "only {failed} loads failed");
}
