//! Two roles of a database, neither a superuser: the application, which owns the tables, and the program, which
//! follows them as a member of it. `docs/postgres.md` tells users the same.
//!
//! Tests write as the superuser of their private server. So that what they make belongs to the application all
//! the same, an event trigger hands it over.

use crate::db::Db;
use crate::server::PASSWORD;

/// The role that the program logs in as.
#[must_use]
pub fn program(database: &str) -> String {
    format!("blacksmith_{database}")
}

/// The role that owns the tables.
#[must_use]
pub fn application(database: &str) -> String {
    format!("app_{database}")
}

/// Makes both roles, unless they are there, and hands every table and publication to the application.
///
/// # Panics
/// When the server refuses.
pub fn employ(db: &Db) {
    let (program, application) = (program(db.name()), application(db.name()));
    let mut session = db.session();
    let there = format!("select 1 from pg_roles where rolname = '{program}'");
    if session.rows(&there).is_empty() {
        let database = db.name();
        session.execute(&format!(
            "create role \"{application}\"; grant create on database \"{database}\" to \"{application}\";
             create role \"{program}\" login replication password '{PASSWORD}' in role \"{application}\""
        ));
        session.execute(&HAND_OVER.replace("APPLICATION", &application));
    }
}

/// What removes both roles once their database is gone.
pub(crate) fn dismissal(database: &str) -> String {
    let (program, application) = (program(database), application(database));
    format!("drop role if exists \"{program}\"; drop role if exists \"{application}\"")
}

/// A publication of all tables has to stay a superuser's.
const HAND_OVER: &str = r#"
create function public.hand_over() returns event_trigger language plpgsql as $$
declare made record;
begin
    for made in select * from pg_event_trigger_ddl_commands() loop
        if made.object_type in ('table', 'schema') and made.schema_name is distinct from 'pg_temp'
           or made.object_type = 'publication'
              and exists (select from pg_publication p where p.oid = made.objid and not p.puballtables) then
            execute format('alter %s %s owner to "APPLICATION"', made.object_type, made.object_identity);
        end if;
    end loop;
end $$;
create event trigger hand_over on ddl_command_end
    when tag in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE SCHEMA', 'CREATE PUBLICATION')
    execute function public.hand_over();
do $$
declare owned record;
begin
    for owned in
        select format('schema %I', nspname) as name from pg_namespace
        where nspname not like 'pg\_%' and nspname not in ('information_schema', 'public')
        union all
        select format('table %I.%I', nspname, relname)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where relkind in ('r', 'p') and relpersistence <> 't'
          and nspname not like 'pg\_%' and nspname <> 'information_schema'
        union all
        select format('publication %I', pubname) from pg_publication where not puballtables
    loop
        execute format('alter %s owner to "APPLICATION"', owned.name);
    end loop;
end $$;
"#;
