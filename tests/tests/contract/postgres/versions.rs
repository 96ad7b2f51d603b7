use blacksmith_cdc::catalog::{
    Asked, Patterns, RelationQuestion, ensure_publication, find_slot, load_published_tables,
    load_types, preflight,
};
use blacksmith_cdc::connection::During;
use blacksmith_core::finding::Severity;
use blacksmith_tests::server::Server;
use blacksmith_tests::server::binaries::versions;

use super::*;

#[test]
fn every_version_answers_every_question_and_streams_in_text_and_binary() {
    for version in versions() {
        let server = Server::version(version);
        let db = server.database("version");
        db.execute("create table t (id int primary key, v text, d int generated always as (id * 2) stored)");
        let url = db.url();
        let mut connection = replication(&url);
        assert_eq!(u32::from(connection.version().major), version);
        assert_eq!(connection.identify_system().unwrap().database, db.name());
        let failover = version >= 17;
        let slot = NewSlot {
            name: "s",
            temporary: false,
            failover,
            export_snapshot: true,
        };
        assert!(
            connection
                .create_slot(&slot, PATIENCE)
                .unwrap()
                .snapshot
                .is_some()
        );
        questions(&db, failover);
        for binary in [false, true] {
            db.execute(
                "begin; insert into t select coalesce(max(id), 0) + 1, 'one' from t; commit",
            );
            let streaming = StreamOptions {
                binary,
                ..StreamOptions::new(vec!["p".into()])
            };
            let mut stream = replication(&url)
                .start_replication("s", Lsn::ZERO, &streaming)
                .unwrap();
            let insert = read(&mut stream, b'I', 1).remove(0);
            assert_eq!(
                insert[8],
                if binary { b'b' } else { b't' },
                "version {version}"
            );
            assert!(stream.close(PATIENCE));
        }
        wrong_requests(&url, version);
    }
}

fn questions(db: &Db, failover: bool) {
    wait_for(async {
        let client = sql(db).await;
        let patterns = Patterns::parse(&["public.*"]).unwrap();
        let state = ensure_publication(&client, "p", &patterns).await.unwrap();
        assert_eq!(state.added, [r#""public"."t""#]);
        let tables = load_published_tables(&client, "p").await.unwrap();
        let columns: Vec<_> = tables[0]
            .columns
            .iter()
            .map(|c| (c.name.as_str(), c.published))
            .collect();
        assert_eq!(columns, [("id", true), ("v", true), ("d", false)]);
        let oids: Vec<u32> = tables[0]
            .columns
            .iter()
            .map(|column| column.type_oid)
            .collect();
        assert_eq!(load_types(&client, &oids).await.unwrap().len(), 2);
        let question = RelationQuestion::prepare(&client).await.unwrap();
        let asked = question.ask(&client, tables[0].oid).await.unwrap();
        let names: Vec<_> = asked.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["id", "v", "d"]);
        let found = find_slot(&client, "s").await.unwrap().unwrap();
        assert_eq!(
            (found.failover, found.is_lost(), found.two_phase),
            (failover, false, false)
        );
        let tables = ["public.*".to_owned()];
        let options = options(&db.url());
        let asked = Asked {
            options: &options,
            publication: "p",
            slot: "s",
            tables: &tables,
            known_system: None,
        };
        let findings = preflight(&asked).await;
        assert!(
            findings
                .iter()
                .all(|finding| finding.severity != Severity::Problem),
            "{findings:#?}"
        );
    });
}

/// Requests that only newer versions know.
fn wrong_requests(url: &str, version: u32) {
    let failover = NewSlot {
        name: "f",
        temporary: true,
        failover: true,
        export_snapshot: false,
    };
    let created = replication(url).create_slot(&failover, PATIENCE);
    if version < 17 {
        assert!(created.unwrap_err().report().contains("from version 17 on"));
    } else {
        // A temporary slot cannot outlive a failover, and the server says so.
        assert!(
            blacksmith_cdc::connection::refusal_of(&created.unwrap_err(), During::Slot("f"))
                .is_some()
        );
    }
}
