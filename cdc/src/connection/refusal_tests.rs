use blacksmith_core::error::{Advice, Kind};

use super::*;

fn server(code: &str, message: &str, routine: &str) -> ServerError {
    ServerError {
        severity: "ERROR".into(),
        code: code.into(),
        message: message.into(),
        hint: String::new(),
        routine: routine.into(),
    }
}

#[test]
fn an_error_response_is_read_field_by_field() {
    let body =
        b"SFEHLER\0VFATAL\0C28P01\0MPasswort falsch\0DKey (x)=(canary)\0Htry\0Rauth_failed\0\0";
    let error = ServerError::read(body).unwrap();
    assert_eq!(
        (error.severity.as_str(), error.code.as_str()),
        ("FATAL", "28P01")
    );
    assert_eq!(
        (error.hint.as_str(), error.routine.as_str()),
        ("try", "auth_failed")
    );
    assert!(
        !error.to_string().contains("canary"),
        "details may hold values of rows"
    );
    for cut in 0..body.len() {
        assert!(ServerError::read(&body[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn one_code_means_different_things_by_what_raised_it() {
    let slot = During::Slot("s");
    for (error, during, refusal) in [
        (
            server("28P01", "nein", "auth_failed"),
            During::Login,
            Refusal::WrongPassword,
        ),
        (
            server(
                "28000",
                "no pg_hba.conf entry for host",
                "ClientAuthentication",
            ),
            During::Login,
            Refusal::NotAllowedFromHere,
        ),
        (
            server(
                "28000",
                "role \"x\" does not exist",
                "InitializeSessionUserId",
            ),
            During::Login,
            Refusal::NoSuchRole,
        ),
        (
            server("53300", "sorry, too many clients already", "InitProcess"),
            During::Login,
            Refusal::NoFreeConnection,
        ),
        (
            server(
                "53300",
                "number of requested standby connections exceeds max_wal_senders (currently 1)",
                "InitProcess",
            ),
            During::Login,
            Refusal::NoFreeWalSender,
        ),
        (
            server(
                "42704",
                "publication \"p\" does not exist",
                "get_publication_oid",
            ),
            slot,
            Refusal::PublicationMissing,
        ),
        (
            server(
                "42704",
                "le slot de réplication « s » n'existe pas",
                "ReplicationSlotAcquire",
            ),
            slot,
            Refusal::SlotMissing,
        ),
        (
            server(
                "55006",
                "replication slot \"s_99\" is active for PID 4711",
                "ReplicationSlotAcquire",
            ),
            slot,
            Refusal::SlotInUse(Some(4711)),
        ),
        (
            server(
                "55006",
                "replication slot \"s_99\" is in use",
                "ReplicationSlotAcquire",
            ),
            slot,
            Refusal::SlotInUse(None),
        ),
        (
            server(
                "55000",
                "logical decoding requires wal_level >= logical",
                "CheckLogicalDecodingRequirements",
            ),
            slot,
            Refusal::WalLevel,
        ),
        (
            server(
                "55000",
                "can no longer get changes from replication slot \"s\"",
                "CreateDecodingContext",
            ),
            slot,
            Refusal::SlotLost,
        ),
        (
            server(
                "55000",
                "logical decoding cannot be used while in recovery",
                "CheckLogicalDecodingRequirements",
            ),
            slot,
            Refusal::Standby,
        ),
        (
            server(
                "55000",
                "cannot read from logical replication slot \"s\"",
                "StartLogicalReplication",
            ),
            slot,
            Refusal::SlotLost,
        ),
        (
            server(
                "55000",
                "replication slot \"s\" was not created in this database",
                "CreateDecodingContext",
            ),
            slot,
            Refusal::SlotElsewhere,
        ),
        (
            server("55000", "un état inconnu du slot", "CreateDecodingContext"),
            slot,
            Refusal::Other, // the advice for a lost slot is to drop it: only when certain
        ),
        (
            server(
                "42710",
                "replication slot \"s\" already exists",
                "ReplicationSlotCreate",
            ),
            slot,
            Refusal::SlotExists,
        ),
        (
            server("08P01", "unsupported startup parameter: datestyle", ""),
            During::Login,
            Refusal::Pooler,
        ),
        (
            server(
                "57P03",
                "the database system is starting up",
                "ProcessStartupPacket",
            ),
            During::Login,
            Refusal::NotNow,
        ),
        (server("XX000", "boom", "elog"), slot, Refusal::Undecodable),
        (
            server("XX000", "boom", "elog"),
            During::Doing("looking"),
            Refusal::Other,
        ),
    ] {
        assert_eq!(Refusal::of(&error, during), refusal, "{error}");
    }
}

#[test]
fn what_passes_by_itself_is_retried_and_what_needs_a_person_stops() {
    let advice = |code: &str, message: &str| {
        server(code, message, "")
            .into_error(During::Slot("s"), "u@h/d")
            .advice()
    };
    assert_eq!(advice("57P03", "starting up"), Advice::Retry);
    assert_eq!(advice("53300", "too many clients"), Advice::Retry);
    assert_eq!(
        advice("53400", "all replication slots are in use"),
        Advice::Stop
    );
    assert_eq!(advice("28P01", "no"), Advice::Stop);
}

#[test]
fn an_error_says_where_what_why_and_what_to_do_and_gives_back_its_cause() {
    let cause = server(
        "53400",
        "all replication slots are in use",
        "ReplicationSlotCreate",
    );
    let error = cause.clone().into_error(During::Slot("s"), "u@h:5432/d");
    assert_eq!(error.kind(), Kind::Refused);
    let report = error.report();
    assert!(
        report
            .starts_with("u@h:5432/d: all replication slots of the server are taken: ERROR 53400"),
        "{report}"
    );
    assert!(report.contains("max_replication_slots"), "{report}");
    assert_eq!(server_error(&error), Some(&cause));
    assert_eq!(
        refusal_of(&error, During::Slot("s")),
        Some(Refusal::NoFreeSlot)
    );
}
