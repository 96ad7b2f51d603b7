//! Bodies that were made to do harm: each is stored as it is or answered with a clear 4xx, and the gateway goes on.

use super::*;

/// Stands for what must be in no reply.
const CANARY: &str = "hunter2";

const ROUTES: &str = "[routes.one]\npath = '/one'\n[routes.many]\npath = '/many'\nbody = 'batch'\n\
                      [routes.lines]\npath = '/lines'\nbody = 'ndjson'\n";

fn nested(levels: usize) -> String {
    format!("{}\"{CANARY}\"{}", "[".repeat(levels), "]".repeat(levels))
}

/// The message of a refusal that quotes nothing.
async fn refused(house: &House, line: &str, body: &[u8], status: u16) -> String {
    let kind = match line {
        "POST /lines" => "content-type: application/x-ndjson\r\n",
        _ => "content-type: application/json\r\n",
    };
    let object = house.ask(line, kind, body).await.fault(status);
    assert!(!object.to_string().contains(CANARY), "{object}");
    object.to_string()
}

/// TRG-01 CON-16
#[tokio::test]
async fn what_no_reader_could_take_is_refused_and_not_quoted() {
    let house = configured(ROUTES).await;
    let deep = nested(1_000_000);
    let open = "[".repeat(1_000_000);
    let objects = "{\"a\":".repeat(500_000) + CANARY;
    for line in ["POST /one", "POST /many", "POST /lines"] {
        let told = refused(&house, line, deep.as_bytes(), 400).await;
        assert!(told.contains("deeper than 1000 levels"), "{line}: {told}");
        let not_utf8 = [b"[\"".as_slice(), CANARY.as_bytes(), b"\xff\xfe\"]"].concat();
        let told = refused(&house, line, &not_utf8, 400).await;
        assert!(told.contains("utf-8"), "{line}: {told}");
        for body in [
            &open,
            &objects,
            "",
            "\0",
            "\u{feff}[1]",
            "[1] hunter2",
            "[hunter2]",
            "[\"hunter2\u{1}\"]",
            "[1e]",
        ] {
            refused(&house, line, body.as_bytes(), 400).await;
        }
    }
    let told = refused(&house, "POST /many", b"{\"hunter2\": 1}", 400).await;
    assert!(told.contains("not a JSON array"), "{told}");
    assert_eq!(house.events(), 0);
}

/// TRG-01
#[tokio::test]
async fn what_is_only_strange_is_stored_byte_for_byte() {
    let house = configured(ROUTES).await;
    let keys: Vec<String> = (0..100_000)
        .map(|number| format!("\"k{number}\":{number}"))
        .collect();
    for body in [
        nested(1_000),
        format!("{{{}}}", keys.join(",")),
        "{\"a\":1,\"a\":2,\"\":3,\"\":4}".to_owned(),
        "9".repeat(1 << 20),
        format!(
            "[1e400,-0,{}1e-9999999999999999999999]",
            "0.1,".repeat(1_000)
        ),
        r#"{"\ud800":"\udfff"}"#.to_owned(),
        format!("\"{}\"", "\\u0000".repeat(100_000)),
    ] {
        let id = event_id(&house.ask("POST /one", "", body.as_bytes()).await);
        let entry = entries(&*house.store)
            .remove(&id.position().unwrap())
            .unwrap();
        assert!(entry.data.as_str() == body, "{} bytes", body.len());
    }
}

/// What a body may be cut into is bounded before it is cut.
#[tokio::test]
async fn a_body_of_millions_of_events_is_refused() {
    let house = configured(ROUTES).await;
    let array = format!("[{}1]", "1,".repeat(4_000_000 - 10));
    let lines = "1\n".repeat(4_000_000);
    for (line, body) in [("POST /many", array), ("POST /lines", lines)] {
        let told = refused(&house, line, body.as_bytes(), 400).await;
        assert!(told.contains("more than 100000 events"), "{line}: {told}");
    }
    let most = format!("[{}1]", "1,".repeat(99_999));
    let reply = house.ask("POST /many", "", most.as_bytes()).await;
    assert_eq!(reply.status, 202);
    assert_eq!(house.events(), 100_001);
}
