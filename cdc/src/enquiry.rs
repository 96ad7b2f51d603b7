//! What the stream asks the catalog about a table while it waits for the answer.
//!
//! Thousands of tables may change at once, and the stream stands still for each: so the connection is kept from
//! one question to the next, its statement is prepared, and built-in types, which never change, are asked for
//! once. It is hung up when nobody has asked for a while: most sources hardly ever do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use blacksmith_core::error::{Error, Result};
use tokio::runtime::Handle;

use crate::catalog::{RelationColumn, RelationQuestion, TypeInfo, load_types};
use crate::connection::{ConnectOptions, SqlClient};

/// How long a question may take while the stream waits for the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection over which nothing was asked for between this long and twice as long is hung up.
const IDLE: Duration = Duration::from_secs(10);
/// Oids below this are built in.
const FIRST_OWN_OID: u32 = 16_384;

/// What the catalog says of one table.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Types that were asked for, and all that they are made of.
    pub(crate) types: HashMap<u32, TypeInfo>,
    /// Its columns as they are now; none when it is gone.
    pub(crate) columns: Vec<RelationColumn>,
}

/// Asks, for one thread at a time.
#[derive(Debug)]
pub(crate) struct Enquiry {
    options: ConnectOptions,
    runtime: Handle,
    line: Arc<Mutex<Option<Line>>>,
    /// Built-in types that were seen, with all that they are made of.
    built_in: Mutex<HashMap<u32, TypeInfo>>,
}

/// A connection that was asked over.
#[derive(Debug)]
struct Line {
    client: SqlClient,
    columns: RelationQuestion,
    questions: u64,
}

impl Enquiry {
    /// Asks the server of `options`. Must be made inside of a runtime.
    pub(crate) fn new(options: ConnectOptions) -> Enquiry {
        Enquiry {
            options,
            runtime: Handle::current(),
            line: Arc::default(),
            built_in: Mutex::default(),
        }
    }

    /// What the table `oid` is now, and what `types` are. Waits for the answer, so not on a thread of the runtime.
    ///
    /// # Errors
    /// What the server refused, a lost connection, no answer in time.
    pub(crate) fn ask(&self, oid: u32, types: &[u32]) -> Result<Answer> {
        let mut line = lock(&self.line);
        let kept = line.take();
        let asked = async {
            if let Some(mut kept) = kept {
                match self.ask_over(&mut kept, oid, types).await {
                    Ok(answer) => return Ok::<_, Error>((kept, answer)),
                    // It may have been cut while it was idle, as servers and proxies do.
                    Err(error) => tracing::debug!(%error, "asking once more over a new connection"),
                }
            }
            let mut fresh = Line::open(&self.options).await?;
            let answer = self.ask_over(&mut fresh, oid, types).await?;
            self.runtime
                .spawn(hang_up_when_idle(Arc::downgrade(&self.line)));
            Ok((fresh, answer))
        };
        // The timer is made inside: the stream's thread is not one of the runtime's own.
        let answered = self
            .runtime
            .block_on(async { tokio::time::timeout(ANSWER_TIMEOUT, asked).await });
        let (kept, answer) = answered
            .map_err(|_| Error::unavailable("the server's catalog did not answer within 30 s"))??;
        *line = Some(kept);
        Ok(answer)
    }

    async fn ask_over(&self, line: &mut Line, oid: u32, types: &[u32]) -> Result<Answer> {
        line.questions += 1;
        let columns = line.columns.ask(&line.client, oid).await?;
        let types = self.types(&line.client, types).await?;
        Ok(Answer { types, columns })
    }

    async fn types(&self, client: &SqlClient, oids: &[u32]) -> Result<HashMap<u32, TypeInfo>> {
        let (known, unknown) = self.known(oids);
        if unknown.is_empty() {
            return Ok(known);
        }
        // What an own type is made of may be built in: all of them come from one answer.
        let loaded = load_types(client, oids).await?;
        let built_in = loaded.iter().filter(|(oid, _)| **oid < FIRST_OWN_OID);
        lock(&self.built_in).extend(built_in.map(|(oid, info)| (*oid, info.clone())));
        Ok(loaded)
    }

    /// Built-in types that were seen before, as far as `oids` are made of them; and which others there are.
    fn known(&self, oids: &[u32]) -> (HashMap<u32, TypeInfo>, Vec<u32>) {
        let built_in = lock(&self.built_in);
        let (mut known, mut unknown) = (HashMap::new(), Vec::new());
        let mut wanted = oids.to_vec();
        while let Some(oid) = wanted.pop() {
            match built_in.get(&oid) {
                Some(info) if known.insert(oid, info.clone()).is_none() => {
                    wanted.extend(info.class.made_of());
                }
                Some(_) => {}
                None => unknown.push(oid),
            }
        }
        (known, unknown)
    }
}

impl Line {
    async fn open(options: &ConnectOptions) -> Result<Line> {
        let client = SqlClient::connect(options).await?;
        let columns = RelationQuestion::prepare(&client).await?;
        Ok(Line {
            client,
            columns,
            questions: 0,
        })
    }
}

async fn hang_up_when_idle(line: Weak<Mutex<Option<Line>>>) {
    let mut questions_before = None;
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(line) = line.upgrade() else { return };
        // Whoever holds it is asking.
        let Ok(mut line) = line.try_lock() else {
            continue;
        };
        let questions = line.as_ref().map(|line| line.questions);
        if questions.is_none() || questions == questions_before {
            *line = None;
            return;
        }
        questions_before = questions;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
