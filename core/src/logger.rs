//! Where log lines of user code belong.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use tracing::Span;
use tracing::span;

use crate::id::Id;

/// A span that is made when somebody logs: name it as parent (`tracing::info!(parent: &toolkit.logger, "…")`), or enter it.
///
/// Most events are taken in without a word, and a span costs several times what the rest of taking one in does.
#[derive(Clone)]
pub struct Logger {
    span: OnceLock<Span>,
    of: Option<Extraction>,
}

/// What a trigger makes of something.
#[derive(Clone)]
struct Extraction {
    source: Arc<str>,
    trigger: Arc<str>,
    event: Id,
}

impl Logger {
    /// A logger that adds nothing to its lines.
    #[must_use]
    pub fn none() -> Logger {
        Logger::from(Span::none())
    }

    /// Lines name the source, the trigger and the event that is being extracted.
    pub(crate) fn of_extraction(source: &Arc<str>, trigger: &Arc<str>, event: Id) -> Logger {
        Logger {
            span: OnceLock::new(),
            of: Some(Extraction {
                source: Arc::clone(source),
                trigger: Arc::clone(trigger),
                event,
            }),
        }
    }

    /// The span, which is made now if it was not before.
    #[must_use]
    pub fn span(&self) -> &Span {
        self.span.get_or_init(|| match &self.of {
            None => Span::none(),
            Some(Extraction {
                source,
                trigger,
                event,
            }) => tracing::info_span!("extract", %source, trigger = &**trigger, %event),
        })
    }
}

/// To enter it, or to run something within.
impl Deref for Logger {
    type Target = Span;

    fn deref(&self) -> &Span {
        self.span()
    }
}

/// To be named as the parent of a line or a span.
impl From<&Logger> for Option<span::Id> {
    fn from(logger: &Logger) -> Option<span::Id> {
        logger.span().id()
    }
}

impl From<Span> for Logger {
    fn from(span: Span) -> Logger {
        Logger {
            span: OnceLock::from(span),
            of: None,
        }
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Logger").field(&self.span.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;
    use crate::clock::Timestamp;
    use crate::event::StoreId;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// LOG-01
    #[test]
    fn the_span_of_an_event_is_made_by_the_first_line_that_belongs_to_it() {
        let said = Said::default();
        let own = said.clone();
        let writer = tracing_subscriber::fmt().with_ansi(false);
        let subscriber = writer.with_writer(move || own.clone()).finish();
        let event = Id::ticket(StoreId(1), 7, Timestamp(0));
        let logger = Logger::of_extraction(&"web".into(), &"signup".into(), event);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("nobody's");
            assert!(logger.span.get().is_none());
            tracing::info!(parent: &logger, "looked");
            assert!(logger.span.get().is_some());
            logger.clone().in_scope(|| tracing::info!("looked within"));
        });
        let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        let of_event = format!("extract{{source=web trigger=\"signup\" event={event}}}");
        assert!(!lines[0].contains("extract"), "{said}");
        assert!(
            lines[1..].iter().all(|line| line.contains(&of_event)),
            "{said}"
        );
        assert_eq!(lines.len(), 3);
    }
}
