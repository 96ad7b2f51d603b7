use blacksmith_core::error::Kind;
use blacksmith_tests::server::{Options, Server};

use super::*;

#[test]
fn scram_lets_the_right_password_in_and_names_the_wrong_one_without_showing_it() {
    let db = Server::shared().database("scram");
    let mut connection = replication(&db.url());
    let identity = connection.identify_system().unwrap();
    assert_eq!(identity.database, db.name());
    assert_eq!(u32::from(connection.version().major), db.server().major());
    let system_id = db.value("select system_identifier from pg_control_system()");
    assert_eq!(identity.system_id.to_string(), system_id);
    assert!(identity.wal_end > Lsn::ZERO && identity.timeline == 1);

    let wrong = db
        .url()
        .replace(blacksmith_tests::server::PASSWORD, "wrong-canary");
    let error = refused(&wrong);
    assert_eq!(error.kind(), Kind::Refused);
    assert!(
        error.report().contains("does not accept the password"),
        "{}",
        error.report()
    );
    assert!(!format!("{error:?}").contains("canary"));
    let error = wait_for(SqlClient::connect(&options(&wrong))).unwrap_err();
    assert!(
        error.report().contains("does not accept the password"),
        "{}",
        error.report()
    );
    assert!(!format!("{error:?}").contains("canary"));
}

#[test]
fn md5_clear_text_and_trust_work_and_a_missing_password_is_named() {
    let methods = ["md5", "password", "trust"];
    let line = |method: &&str| format!("host all u_{method} 127.0.0.1/32 {method}");
    let server = Server::start(Options {
        hba: methods.iter().map(line).collect(),
        ..Options::default()
    });
    let postgres = server.existing("postgres");
    for method in methods {
        postgres.execute(&format!(
            "set password_encryption = {}; create role u_{method} login replication password 'pw-{method}'",
            if method == "md5" { "md5" } else { "'scram-sha-256'" }
        ));
        let url = format!(
            "postgres://u_{method}:pw-{method}@127.0.0.1:{}/postgres",
            server.port()
        );
        let mut connection = replication(&url);
        let rows = connection
            .simple_query("asking who we are", "select current_user")
            .unwrap();
        assert_eq!(rows[0].get(0), Some(format!("u_{method}").as_str()));
        assert_eq!(
            wait_for(SqlClient::connect(&options(&url)))
                .unwrap()
                .version(),
            connection.version()
        );
    }
    let error = refused(&format!(
        "postgres://u_md5@127.0.0.1:{}/postgres",
        server.port()
    ));
    assert!(
        error
            .report()
            .contains("asks for a password and none is set"),
        "{}",
        error.report()
    );
}

#[test]
fn our_settings_hold_whatever_database_role_and_url_say() {
    let db = Server::shared().database("pinned");
    let hostile = [
        ("timezone", "Asia/Tokyo", "UTC"),
        ("datestyle", "German", "ISO"),
        ("intervalstyle", "iso_8601", "postgres"),
        ("extra_float_digits", "-3", "1"),
        ("bytea_output", "escape", "hex"),
        ("standard_conforming_strings", "off", "on"),
        ("search_path", "public", "pg_catalog"),
        ("statement_timeout", "1", "0"),
        ("row_security", "on", "off"),
    ];
    for (name, value, _) in hostile {
        db.execute(&format!(
            "alter database {} set {name} = '{value}'",
            db.name()
        ));
    }
    let url = format!(
        "{}?options=-c%20timezone%3DEurope/Paris%20-c%20work_mem%3D7MB",
        db.url()
    );
    let mut connection = replication(&url);
    let client = wait_for(async {
        let client = SqlClient::connect(&options(&url)).await.unwrap();
        let mut shown = Vec::new();
        for (name, _, _) in hostile {
            let rows = client
                .query("asking", &format!("show {name}"), &[])
                .await
                .unwrap();
            shown.push(rows[0].get::<_, String>(0));
        }
        shown
    });
    for ((name, _, ours), by_client) in hostile.iter().zip(client) {
        let rows = connection
            .simple_query("asking", &format!("show {name}"))
            .unwrap();
        let shown = rows[0].get(0).unwrap();
        assert!(
            shown == *ours || shown.starts_with(&format!("{ours},")),
            "{name} is {shown}"
        );
        assert!(
            by_client == *ours || by_client.starts_with(&format!("{ours},")),
            "{name} is {by_client}"
        );
    }
    let rows = connection.simple_query("asking", "show work_mem").unwrap();
    assert_eq!(
        rows[0].get(0),
        Some("7MB"),
        "what we do not pin is the user's"
    );
}

#[test]
fn values_come_back_as_they_are_and_null_is_not_the_empty_text() {
    let db = Server::shared().database("values");
    let mut connection = replication(&db.url());
    let sql = "select null, '', 'ä€', repeat('x', 300000)";
    let rows = connection.simple_query("asking", sql).unwrap();
    let row = &rows[0];
    assert_eq!(
        (row.get(0), row.get(1), row.get(2)),
        (None, Some(""), Some("ä€"))
    );
    assert_eq!(row.get(3).unwrap().len(), 300_000);
    let error = connection
        .simple_query("dividing", "select 1/0")
        .unwrap_err();
    assert!(error.report().contains("22012"), "{}", error.report());
    let rows = connection.simple_query("asking", "select 1").unwrap();
    assert_eq!(
        rows[0].get(0),
        Some("1"),
        "an error leaves the connection usable"
    );
}

#[test]
fn the_second_host_serves_when_the_first_is_down_and_a_wanted_role_is_looked_for() {
    let db = Server::shared().database("hosts");
    let url = db.url().replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1");
    assert_eq!(
        replication(&url).identify_system().unwrap().database,
        db.name()
    );
    let error = refused(&format!("{url}?target_session_attrs=standby"));
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(
        error.report().contains("is a primary"),
        "{}",
        error.report()
    );
    assert!(!replication(&format!("{url}?target_session_attrs=prefer-standby")).is_standby());
}

#[test]
fn a_unix_socket_is_reached_by_its_folder() {
    let db = Server::shared().database("unix");
    let folder = db
        .server()
        .socket_dir()
        .display()
        .to_string()
        .replace('/', "%2F");
    let url = format!(
        "postgres://postgres@/{}?host={folder}&port={}",
        db.name(),
        db.server().port()
    );
    assert!(!replication(&url).is_encrypted());
    assert_eq!(
        wait_for(SqlClient::connect(&options(&url)))
            .unwrap()
            .version()
            .major,
        replication(&url).version().major
    );
}
