//! Declared columns of a webhook, from configuration alone.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, RecordBatch};
use blacksmith_tests::stream::program;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rustix::process::{Pid, Signal, kill_process};

const CONFIGURATION: &str = r#"
[gateway]
address = "unix:gateway.sock"

[sources.web]
driver = "http"
[sources.web.routes.signup]
path = "/signup"

[destinations.lake]
driver = "parquet"
path = "lake"
[destinations.lake.columns."web/signup"]
plan = "text"
amount = { type = "decimal(12,2)", from = "/order/amount" }

[[flows]]
from = "web/signup"
to = "lake"
"#;

/// The status line of the answer to `body`.
fn post(folder: &Path, body: &str) -> String {
    let mut stream = UnixStream::connect(folder.join("gateway.sock")).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /signup HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// The rows of the only file that the lake has of `trigger`.
fn rows(folder: &Path, trigger: &str) -> RecordBatch {
    let mut files = std::fs::read_dir(folder.join("lake").join(trigger)).unwrap();
    let file = std::fs::File::open(files.next().unwrap().unwrap().path()).unwrap();
    assert!(files.next().is_none(), "one load is one file");
    let mut rows = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    rows.next().unwrap().unwrap()
}

#[test]
fn what_a_webhook_says_stands_in_the_columns_that_are_declared_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("blacksmith.toml"), CONFIGURATION).unwrap();
    let mut running = Command::new(program())
        .args(["run", "--service", "gateway"])
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("unix:gateway.sock")));
    let bodies = [
        r#"{"plan": "pro", "order": {"amount": 12.50}}"#,
        r#"{"plan": null, "order": {"amount": "12.505"}, "plan2": 1e400}"#,
        r#"[1, "\ud800"]"#,
    ];
    for body in bodies {
        assert_eq!(post(folder, body), "HTTP/1.1 202 Accepted", "{body}");
    }
    assert_eq!(post(folder, "{"), "HTTP/1.1 400 Bad Request");
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    assert!(said.all(|line| line.is_ok()));
    assert!(running.wait().unwrap().success());
    let caught_up = ["run", "--until", "caught-up"];
    let output = Command::new(program())
        .args(caught_up)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");

    let rows = rows(folder, "web.signup");
    let texts = |name: &str| -> Vec<Option<String>> {
        let column = rows.column_by_name(name).unwrap().as_string::<i32>();
        column.iter().map(|text| text.map(str::to_owned)).collect()
    };
    assert_eq!(texts("data"), bodies.map(|body| Some(body.to_owned())));
    assert_eq!(texts("plan"), [Some("pro".to_owned()), None, None]);
    let amounts = rows
        .column_by_name("amount")
        .unwrap()
        .as_primitive::<Decimal128Type>();
    assert_eq!(
        amounts.iter().collect::<Vec<_>>(),
        [Some(1_250), None, None]
    );
    let kept = rows.column_by_name("_as_text").unwrap().as_list::<i32>();
    assert!(kept.is_null(0) && kept.is_null(2));
    let kept = kept.value(1);
    let kept = [0, 1].map(|at| {
        kept.as_struct()
            .column(at)
            .as_string::<i32>()
            .value(0)
            .to_owned()
    });
    assert_eq!(kept, ["amount", "12.505"]);
}
