//! Everything that would go wrong, before anything is started: all of it at once.
//!
//! Each check is one question and one [`Finding`]: what is so, and what to do about it. Checks only read; a
//! check that cannot be made is itself a finding. What the server may do at run time and not now (create the
//! slot and publication) is judged from privileges, and tried for real by the run itself.

mod server;
mod slot;
mod tables;

use blacksmith_core::error::{Error, Result};
use blacksmith_core::finding::{Finding, Severity};

use server::check_settings;
use slot::check_slot;
use tables::check_tables;

use crate::connection::quote::identifier;
use crate::connection::{
    ConnectOptions, During, Refusal, ReplicationConnection, SqlClient, SystemIdentity, Waker,
    refusal_of,
};

/// What a source asks of the server.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// How to connect.
    pub options: &'a ConnectOptions,
    /// The publication's name.
    pub publication: &'a str,
    /// The slot's name.
    pub slot: &'a str,
    /// Patterns of tables.
    pub tables: &'a [String],
    /// System id and timeline on which this pipeline started, if it has.
    pub known_system: Option<(u64, u32)>,
}

/// Makes every check and says what it found, in the order in which a person would go through them.
pub async fn preflight(asked: &Asked<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let client = match SqlClient::connect(asked.options).await {
        Ok(client) => client,
        Err(error) => return vec![not_let_in(&error, asked.options)],
    };
    let place = client.place();
    findings.push(good(format!(
        "{place}: PostgreSQL {} answers",
        client.version()
    )));
    match identify(asked.options).await {
        Ok(identity) => check_identity(&client, asked, &identity, &mut findings).await,
        Err(error) => findings.push(not_let_in(&error, asked.options)),
    }
    if let Err(error) = check_settings(&client, &mut findings).await {
        findings.push(refused(&error));
    }
    if let Err(error) = check_slot(&client, asked, &mut findings).await {
        findings.push(refused(&error));
    }
    if let Err(error) = check_tables(&client, asked, &mut findings).await {
        findings.push(refused(&error));
    }
    findings
}

fn good(what: String) -> Finding {
    Finding {
        severity: Severity::Good,
        what,
        fix: None,
    }
}

fn warning(what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding {
        severity: Severity::Warning,
        what: what.into(),
        fix: Some(fix.into()),
    }
}

fn problem(what: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding {
        severity: Severity::Problem,
        what: what.into(),
        fix: Some(fix.into()),
    }
}

/// An error as a finding: its causes are part of what was found.
fn refused(error: &Error) -> Finding {
    let fix = error.advised().map(str::to_owned);
    let report = error.report();
    let what = match &fix {
        Some(fix) => report
            .strip_suffix(&format!(" ({fix})"))
            .unwrap_or(&report)
            .to_owned(),
        None => report,
    };
    Finding {
        severity: Severity::Problem,
        what,
        fix,
    }
}

/// An error at login; where a grant is missing, exactly that one.
fn not_let_in(error: &Error, options: &ConnectOptions) -> Finding {
    let (role, database) = (identifier(&options.user), identifier(&options.database));
    let mut finding = refused(error);
    match refusal_of(error, During::Login) {
        Some(Refusal::NoReplicationRole) => {
            finding.fix = Some(format!(
                "as a superuser: ALTER ROLE {role} REPLICATION (on a managed service, grant its replication role, such as rds_replication)"
            ));
        }
        Some(Refusal::MissingPrivilege) => {
            finding.fix = Some(format!("GRANT CONNECT ON DATABASE {database} TO {role}"));
        }
        _ => {}
    }
    finding
}

/// Logs in for replication, which only a role that may replicate can.
async fn identify(options: &ConnectOptions) -> Result<SystemIdentity> {
    let options = options.clone();
    let asked = tokio::task::spawn_blocking(move || {
        ReplicationConnection::connect(&options, &Waker::new()?)?.identify_system()
    });
    asked
        .await
        .map_err(|error| Error::stopped("the check was stopped").because(error))?
}

async fn check_identity(
    client: &SqlClient,
    asked: &Asked<'_>,
    identity: &SystemIdentity,
    findings: &mut Vec<Finding>,
) {
    findings.push(good(format!(
        "replication connections are allowed (system {})",
        identity.system_id
    )));
    match asked.known_system {
        Some((system_id, _)) if system_id != identity.system_id => findings.push(problem(
            format!("this is another database system: {} is here, {system_id} was recorded", identity.system_id),
            "correct the connection URL; to start anew with this server, use another data folder and slot",
        )),
        Some((_, timeline)) if timeline != identity.timeline => findings.push(problem(
            format!("the server is on timeline {}, and {timeline} was recorded: a standby was promoted", identity.timeline),
            "if the slot was carried over (failover slots, version 17), nothing is lost; otherwise take a new snapshot",
        )),
        _ => {}
    }
    let sql = "select system_identifier::text from pg_control_system()";
    let Ok(rows) = client
        .query("comparing the two connections", sql, &[])
        .await
    else {
        return;
    };
    if rows
        .first()
        .is_some_and(|row| row.get::<_, &str>(0) != identity.system_id.to_string())
    {
        findings.push(problem(
            "two connections reached two different systems: the address is that of a load balancer",
            "name the server itself in the connection URL; a snapshot exported on one cannot be read on another",
        ));
    }
}
