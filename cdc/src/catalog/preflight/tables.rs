//! The tables that are asked for, the publication that should send them, and our rights to read them.

use blacksmith_core::error::Result;
use blacksmith_core::finding::Finding;

use super::super::patterns::Patterns;
use super::super::publication::{PublicationInfo, creation, find_publication, obstacle};
use super::super::table::{Identity, TableInfo, list_tables};
use super::{Asked, good, problem, refused, warning};
use crate::connection::SqlClient;
use crate::connection::quote::identifier;

pub(super) async fn check_tables(
    client: &SqlClient,
    asked: &Asked<'_>,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let patterns = match Patterns::parse(asked.tables) {
        Ok(patterns) => patterns,
        Err(error) => {
            findings.push(refused(&error));
            return Ok(());
        }
    };
    let tables = list_tables(client).await?;
    let names = tables
        .iter()
        .map(|table| (table.namespace.as_str(), table.name.as_str()));
    for pattern in patterns.without_match(names) {
        findings.push(warning(
            format!("no table matches {pattern:?}"),
            "create one, or correct `tables`",
        ));
    }
    let publication = find_publication(client, asked.publication).await?;
    let via_root = publication
        .as_ref()
        .is_none_or(|publication| publication.via_root);
    let wanted: Vec<&TableInfo> = tables
        .iter()
        .filter(|table| {
            patterns.matches(&table.namespace, &table.name) && !(via_root && table.is_partition)
        })
        .collect();
    match &publication {
        Some(publication) => judge_publication(publication, &wanted, findings),
        None => may_create(client, asked, &wanted, findings).await?,
    }
    check_rights(client, &asked.options.user, &wanted, findings).await
}

fn judge_publication(
    publication: &PublicationInfo,
    wanted: &[&TableInfo],
    findings: &mut Vec<Finding>,
) {
    let name = &publication.name;
    findings.push(good(format!(
        "publication {name:?} sends {} tables",
        publication.tables.len()
    )));
    for (sent, what) in [
        (publication.inserts, "inserts"),
        (publication.updates, "updates"),
        (publication.deletes, "deletes"),
        (publication.truncates, "truncates"),
    ] {
        if !sent {
            findings.push(warning(
                format!("publication {name:?} does not send {what}"),
                format!(
                    "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')",
                    identifier(name)
                ),
            ));
        }
    }
    for table in wanted {
        let sent = publication.tables.iter().any(|sent| sent.oid == table.oid);
        let quoted = table.quoted();
        match (sent, obstacle(table)) {
            (true, None) => {}
            (true, Some((_, fix))) => findings.push(warning(
                format!("{quoted} is published without a usable replica identity: updates and deletes of it fail in your application"),
                fix,
            )),
            (false, Some((why, fix))) => findings.push(warning(format!("{quoted} is left out: {why}"), fix)),
            (false, None) if publication.ours => {
                findings.push(good(format!("{quoted} will be added to publication {name:?}")));
            }
            (false, None) => findings.push(problem(
                format!("{quoted} is not in publication {name:?}, which belongs to another role"),
                format!("as its owner: ALTER PUBLICATION {} ADD TABLE {quoted}", identifier(name)),
            )),
        }
    }
}

async fn may_create(
    client: &SqlClient,
    asked: &Asked<'_>,
    wanted: &[&TableInfo],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let name = asked.publication;
    let published = wanted.iter().filter(|table| obstacle(table).is_none());
    let (oids, names): (Vec<u32>, Vec<String>) =
        published.map(|table| (table.oid, table.quoted())).unzip();
    let grants = grants_to_create(client, asked, &oids).await?;
    if names.is_empty() {
        findings.push(problem(
            format!("publication {name:?} does not exist, and no table can be put into it"),
            "mend one of the tables that are left out, or correct `tables`",
        ));
    } else if grants.is_empty() {
        findings.push(good(format!(
            "publication {name:?} does not exist yet and will be created"
        )));
    } else {
        findings.push(problem(
            format!("publication {name:?} does not exist, and this role may not create it (it must own the tables, and have CREATE on the database)"),
            format!(
                "{}; or, as the tables' owner or a superuser, run: {}",
                grants.join("; "),
                creation(name, &names)
            ),
        ));
    }
    for table in wanted {
        if let Some((why, fix)) = obstacle(table) {
            findings.push(warning(
                format!("{} is left out: {why}", table.quoted()),
                fix,
            ));
        }
    }
    Ok(())
}

/// What has to be granted before this role may create a publication of these tables.
async fn grants_to_create(
    client: &SqlClient,
    asked: &Asked<'_>,
    oids: &[u32],
) -> Result<Vec<String>> {
    let sql = "select has_database_privilege(current_database(), 'create'),
                      array(select distinct pg_get_userbyid(c.relowner)::text from pg_class c
                            where c.oid = any($1::oid[]) and not pg_has_role(c.relowner, 'usage') order by 1)";
    let rows = client
        .query("reading our privileges", sql, &[&oids])
        .await?;
    let role = identifier(&asked.options.user);
    let mut grants = Vec::new();
    for row in rows {
        let (creates, owners): (bool, Vec<String>) = (row.get(0), row.get(1));
        if !creates {
            let database = identifier(&asked.options.database);
            grants.push(format!("GRANT CREATE ON DATABASE {database} TO {role}"));
        }
        let owners = owners.iter().map(|owner| identifier(owner));
        grants.extend(owners.map(|owner| format!("GRANT {owner} TO {role}")));
    }
    Ok(grants)
}

/// What the snapshot needs: to read every row of every table.
async fn check_rights(
    client: &SqlClient,
    role: &str,
    wanted: &[&TableInfo],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let oids: Vec<u32> = wanted.iter().map(|table| table.oid).collect();
    let role = identifier(role);
    let sql = "select c.oid, has_schema_privilege(c.relnamespace, 'usage'), has_table_privilege(c.oid, 'select'),
                      row_security_active(c.oid)
               from pg_class c where c.oid = any($1::oid[])";
    // Row security counts as inactive in a session that has turned it off, as ours do: ask with it on.
    client
        .execute("reading our privileges", "set row_security = on")
        .await?;
    let rows = client.query("reading our privileges", sql, &[&oids]).await;
    client
        .execute("reading our privileges", "set row_security = off")
        .await?;
    for row in rows? {
        let (oid, usable, readable): (u32, bool, bool) = (row.get(0), row.get(1), row.get(2));
        let filtered: bool = row.get(3);
        let Some(table) = wanted.iter().find(|table| table.oid == oid) else {
            continue;
        };
        let quoted = table.quoted();
        let namespace = identifier(&table.namespace);
        let grants = [
            (
                usable,
                format!("GRANT USAGE ON SCHEMA {namespace} TO {role}"),
            ),
            (readable, format!("GRANT SELECT ON {quoted} TO {role}")),
        ];
        let missing = grants.into_iter().filter(|(granted, _)| !granted);
        let missing: Vec<String> = missing.map(|(_, grant)| grant).collect();
        if !missing.is_empty() {
            findings.push(problem(
                format!("{quoted} cannot be read by this role"),
                missing.join("; "),
            ));
        }
        if filtered {
            findings.push(problem(
                format!("row security hides rows of {quoted} from this role"),
                format!(
                    "ALTER ROLE {role} BYPASSRLS, or let the owner of the table run the pipeline"
                ),
            ));
        }
        if table.identity == Identity::Full {
            findings.push(good(format!(
                "{quoted} has replica identity FULL: exact, at the cost of larger log records"
            )));
        }
    }
    Ok(())
}
