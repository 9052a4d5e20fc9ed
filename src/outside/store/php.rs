//! The PHP program's database: its content, and how its tables are replaced by ours.
//!
//! Its tables are renamed, ours are created and filled with its rows, the schema version is set, and then its tables are
//! emptied and dropped, including the passwords in clear. SQLite and PostgreSQL do everything but the last step in one
//! transaction. MariaDB and MySQL commit each change of a table at once; so there each step can be repeated, rows and version
//! are written in one transaction, and if a program dies, the next one continues.
//!
//! [`crate::outside::take_over`] decides what happens to each row.

#![allow(irrefutable_let_patterns)] // if only one driver is built in

#[cfg(feature = "mysql")]
use super::mysql::Mysql;
#[cfg(feature = "postgres")]
use super::postgres::Postgres;
#[cfg(feature = "sqlite")]
use super::sqlite::Sqlite;
use super::{Column, Driver, Error, Row, Selection, Store, Value, schema};
use crate::domain::config::{DatabaseUrl, Language};
use crate::domain::directory;
use crate::domain::registration::State;
use crate::outside::fault;

/// The new name of the PHP program's other table.
const LOGINS: &str = "php_logins";
/// The PHP program's tables, each with its new name and a column that ours do not have.
const TABLES: [(&str, &str, &str); 2] = [("registrations", schema::PHP_REGISTRATIONS, "verify_token"), ("logins", LOGINS, "create_date")];

/// The recipient of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhpReader {
    Applicant = 0,
    Room = 1,
}

impl PhpReader {
    pub(super) fn number(self) -> i64 {
        self as i64
    }
}

/// A row of the PHP program's `registrations`. Times are seconds since 1970.
#[derive(Clone)] // no Debug: a password and tokens
pub struct PhpRegistration {
    pub id: i64,
    /// On SQLite rows have no id of their own; the row number is used instead, and PHP's cron could never change such a row.
    pub has_no_id: bool,
    pub state: Option<i64>,
    pub first_name: String,
    pub last_name: String,
    pub username: String,
    /// In clear; empty if none was asked for.
    pub password: String,
    pub note: String,
    pub email: String,
    pub verify_token: String,
    pub admin_token: String,
    pub requested_at: Option<i64>,
}

/// A row of the PHP program's `logins`. Times are seconds since 1970.
#[derive(Debug, Clone)]
pub struct PhpLogin {
    pub id: i64,
    pub active: bool,
    pub first_name: String,
    pub last_name: String,
    pub localpart: String,
    pub password_hash: String,
    pub email: String,
    pub created_at: Option<i64>,
    pub changed_at: Option<i64>,
}

/// The rows of the PHP program, the oldest first.
#[derive(Clone, Default)]
pub struct PhpRows {
    pub registrations: Vec<PhpRegistration>,
    pub logins: Vec<PhpLogin>,
}

/// A registration as it is written into our table.
pub struct TakenRegistration {
    pub id: i64,
    pub state: State,
    pub seed: String,
    /// The hash of something that no form can send.
    pub submission: String,
    pub verify_token_hash: String,
    pub admin_token_hash: String,
    pub username: String,
    pub claims_username: bool,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub email_folded: String,
    pub note: String,
    pub language: Language,
    /// Hashed or sealed.
    pub password: Option<String>,
    pub password_chosen: bool,
    pub requested_at: i64,
    /// The time of the take-over: waiting starts again.
    pub state_since: i64,
    pub account_tried_at: Option<i64>,
    /// The hashes of the tokens in links from the PHP program.
    pub php_links: Vec<(PhpReader, String)>,
}

/// An account as it is written into our table.
pub struct TakenLogin {
    pub id: i64,
    pub active: bool,
    pub localpart: String,
    pub first_name: String,
    pub last_name: String,
    pub password_hash: String,
    /// Empty for accounts that searches and lookups should not find.
    pub email: String,
    pub email_folded: String,
    pub created_at: i64,
    pub changed_at: i64,
    pub initial_password_until: Option<i64>,
    pub in_directory: bool,
}

/// A connection to a database that is, or was, the PHP program's.
pub(crate) struct PhpDatabase(Kind);

enum Kind {
    #[cfg(feature = "sqlite")]
    Sqlite(Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(Box<Postgres>),
    #[cfg(feature = "mysql")]
    Mysql(Box<Mysql>),
}

impl PhpDatabase {
    pub fn open(url: &DatabaseUrl) -> Result<PhpDatabase, Error> {
        match url {
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(path) => Ok(PhpDatabase(Kind::Sqlite(Sqlite::of_php(path)?))),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(server) => Ok(PhpDatabase(Kind::Postgres(Box::new(Postgres::of_php(server)?)))),
            #[cfg(feature = "mysql")]
            DatabaseUrl::Mysql(server) => Ok(PhpDatabase(Kind::Mysql(Box::new(Mysql::of_php(server)?)))),
            #[allow(unreachable_patterns)] // if all drivers are built in
            _ => Err(Error::Unfit("these programs were built without the driver for this database".into())),
        }
    }

    fn driver(&mut self) -> &mut dyn Driver {
        match &mut self.0 {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(sqlite) => sqlite,
            #[cfg(feature = "postgres")]
            Kind::Postgres(postgres) => postgres.as_mut(),
            #[cfg(feature = "mysql")]
            Kind::Mysql(mysql) => mysql.as_mut(),
        }
    }

    /// Locks the database against other take-overs, until [`PhpDatabase::finish`] or [`PhpDatabase::give_up`]. `false`: there
    /// is nothing to take over, or not any more.
    pub fn lock(&mut self) -> Result<bool, Error> {
        match &mut self.0 {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(sqlite) => sqlite.begin()?,
            #[cfg(feature = "postgres")]
            Kind::Postgres(postgres) => {
                postgres.begin()?;
                postgres.lock_schema()?;
            }
            #[cfg(feature = "mysql")]
            Kind::Mysql(mysql) => mysql.lock_schema()?,
        }
        self.is_to_be_taken_over()
    }

    /// Whether this is the PHP program's database, or one whose take-over was interrupted. If PHP's tables have
    /// replaced ours, `schema_version` says nothing.
    pub(crate) fn is_to_be_taken_over(&mut self) -> Result<bool, Error> {
        let (table, aside, column) = TABLES[0];
        if self.driver().has(table, column)? {
            return Ok(true);
        }
        Ok(self.schema_version()? == 0 && self.driver().has(aside, column)?)
    }

    /// The number of completed steps of our schema in this database.
    fn schema_version(&mut self) -> Result<i64, Error> {
        let driver = self.driver();
        if !driver.has("schema_version", "version")? {
            return Ok(0);
        }
        let version = driver.query_once("SELECT version FROM schema_version", &[])?.into_iter().next();
        version.map_or(Ok(0), |row| row.integer())
    }

    /// All bytes of the file, for a backup; `None` if the data is on a server.
    pub fn bytes(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match &mut self.0 {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(sqlite) => sqlite.bytes().map(Some),
            #[allow(unreachable_patterns)] // if SQLite is the only driver
            _ => Ok(None),
        }
    }

    /// The rows of the tables under their present names.
    pub fn rows(&mut self) -> Result<PhpRows, Error> {
        let mut tables = Vec::new();
        for (table, aside, column) in TABLES {
            let driver = self.driver();
            tables.push(if driver.has(table, column)? {
                Some(table)
            } else if driver.has(aside, column)? {
                Some(aside)
            } else {
                None
            });
        }
        // Early versions asked for no password and stored none.
        let password = match tables[0] {
            Some(table) if !self.driver().has(table, "password")? => "''",
            _ => "password",
        };
        let columns = format!("state, first_name, last_name, username, {password}, note, email, verify_token, admin_token");
        Ok(PhpRows {
            registrations: self.read(tables[0], &columns, &["request_date"])?,
            logins: self.read(
                tables[1],
                "active, first_name, last_name, localpart, password_hash, email",
                &["create_date", "last_modified"],
            )?,
        })
    }

    fn read<T: TryFrom<Row, Error = Error>>(&mut self, table: Option<&str>, columns: &str, times: &[&str]) -> Result<Vec<T>, Error> {
        let Some(table) = table else { return Ok(Vec::new()) };
        // PHP stored local times of its session in columns without a time zone.
        let (id, seconds): (&str, fn(&str) -> String) = match &self.0 {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(_) => ("rowid, 1", |column| format!("CAST(strftime('%s', {column}) AS INTEGER)")),
            #[cfg(feature = "postgres")]
            Kind::Postgres(_) => {
                ("id, 0", |column| format!("CAST(EXTRACT(EPOCH FROM CAST({column} AS TIMESTAMP WITH TIME ZONE)) AS BIGINT)"))
            }
            #[cfg(feature = "mysql")]
            Kind::Mysql(_) => ("id, 0", |column| format!("CAST(UNIX_TIMESTAMP({column}) AS SIGNED)")),
        };
        let times: Vec<String> = times.iter().map(|column| seconds(column)).collect();
        let sql = format!("SELECT {id}, {columns}, {} FROM {table} ORDER BY 1", times.join(", "));
        self.driver().query_once(&sql, &[])?.into_iter().map(T::try_from).collect()
    }

    /// Renames the tables of the PHP program and creates ours. Safe to repeat.
    pub(crate) fn make_room(&mut self) -> Result<(), Error> {
        self.clear_former_move()?;
        for (table, aside, column) in TABLES {
            if self.driver().has(table, column)? && !self.driver().has(aside, column)? {
                self.driver().run(&format!("ALTER TABLE {table} RENAME TO {aside}"))?;
                fault::point("take-over put aside");
            }
        }
        match &mut self.0 {
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(sqlite) => {
                sqlite.run(schema::START)?;
                schema::STEPS.iter().try_for_each(|step| sqlite.run(step.sqlite))?;
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres(postgres) => {
                postgres.run(schema::START)?;
                schema::STEPS.iter().try_for_each(|step| postgres.run(step.postgres))?;
            }
            #[cfg(feature = "mysql")]
            Kind::Mysql(mysql) => {
                mysql.start_schema()?;
                fault::point("take-over schema started");
                schema::STEPS.iter().try_for_each(|step| mysql.take_step(step))?;
                mysql.begin()?;
            }
        }
        fault::point("take-over tables made");
        Ok(())
    }

    /// Drops the rest of an earlier take-over if the PHP program's tables have replaced ours since. Safe to repeat: our tables can be
    /// recognised until the last one is dropped.
    fn clear_former_move(&mut self) -> Result<(), Error> {
        for (table, aside, column) in TABLES {
            if self.driver().has(table, column)? && self.driver().has(aside, column)? {
                self.driver().run(&format!("DROP TABLE {aside}"))?;
            }
        }
        if self.schema_version()? == 0 {
            return Ok(());
        }
        if self.driver().has("logins", "password_hash")? && !self.driver().has(TABLES[1].0, TABLES[1].2)? {
            self.refuse_accounts_of_ours()?;
        }
        for table in schema::tables() {
            let is_of_php = TABLES.iter().find(|(name, _, _)| *name == table);
            let is_ours = is_of_php.map_or(Ok(true), |(_, _, column)| self.driver().has(table, column).map(|theirs| !theirs))?;
            if is_ours {
                self.driver().run(&format!("DROP TABLE IF EXISTS {table}"))?;
                fault::point("take-over former table dropped");
            }
        }
        self.driver().run("DROP TABLE schema_version")
    }

    /// Refuses if accounts were made after the first take-over, as these must not be dropped.
    fn refuse_accounts_of_ours(&mut self) -> Result<(), Error> {
        match self.driver().query_once("SELECT 1 FROM logins LIMIT 1", &[])?.is_empty() {
            true => Ok(()),
            false => Err(Error::Unfit(
                "the table registrations is the PHP program's, and logins is not, but holds accounts; drop logins if its accounts are not needed, or load a dump that has both".into(),
            )),
        }
    }

    pub(crate) fn write_registration(&mut self, taken: &TakenRegistration) -> Result<(), Error> {
        let sql = "INSERT INTO registrations (id, state, seed, submission, verify_token_hash, admin_token_hash, username, claimed_username, first_name,
                   last_name, email, email_folded, note, language, password, password_chosen, requested_at, state_since, due_at, account_tried_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let values = [
            taken.id.into(),
            taken.state.number().into(),
            taken.seed.as_str().into(),
            taken.submission.as_str().into(),
            taken.verify_token_hash.as_str().into(),
            taken.admin_token_hash.as_str().into(),
            taken.username.as_str().into(),
            taken.claims_username.then_some(taken.username.as_str()).into(),
            taken.first_name.as_str().into(),
            taken.last_name.as_str().into(),
            taken.email.as_str().into(),
            taken.email_folded.as_str().into(),
            taken.note.as_str().into(),
            taken.language.tag().into(),
            taken.password.as_deref().into(),
            i64::from(taken.password_chosen).into(),
            taken.requested_at.into(),
            taken.state_since.into(),
            taken.state_since.into(),
            taken.account_tried_at.into(),
        ];
        self.driver().execute(sql, &values)?;
        for (reader, hash) in &taken.php_links {
            let sql = "INSERT INTO php_links (token_hash, reader, registration_id) VALUES (?, ?, ?)";
            self.driver().execute(sql, &[hash.as_str().into(), reader.number().into(), taken.id.into()])?;
        }
        Ok(())
    }

    pub(crate) fn write_login(&mut self, taken: &TakenLogin) -> Result<(), Error> {
        let sql = "INSERT INTO logins (id, active, localpart, first_name, last_name, password_hash, email, email_folded, created_at, changed_at, initial_password_until)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let values: [Value; 11] = [
            taken.id.into(),
            i64::from(taken.active).into(),
            taken.localpart.as_str().into(),
            taken.first_name.as_str().into(),
            taken.last_name.as_str().into(),
            taken.password_hash.as_str().into(),
            taken.email.as_str().into(),
            taken.email_folded.as_str().into(),
            taken.created_at.into(),
            taken.changed_at.into(),
            taken.initial_password_until.into(),
        ];
        self.driver().execute(sql, &values)?;
        if taken.in_directory {
            for (kind, term) in directory::terms(&taken.localpart, &taken.first_name, &taken.last_name, &taken.email) {
                let sql = "INSERT INTO directory_terms (kind, term, login_id) VALUES (?, ?, ?)";
                self.driver().execute(sql, &[kind.number().into(), term.as_str().into(), taken.id.into()])?;
            }
        }
        Ok(())
    }

    /// From here on the database is ours.
    pub fn finish(&mut self) -> Result<(), Error> {
        #[cfg(feature = "postgres")]
        if let Kind::Postgres(postgres) = &mut self.0 {
            for table in ["registrations", "logins"] {
                let count = format!("SELECT setval(pg_get_serial_sequence('{table}', 'id'), COALESCE(MAX(id), 0) + 1, false) FROM {table}");
                postgres.query_once(&count, &[])?;
            }
        }
        self.driver().execute("UPDATE schema_version SET version = ?", &[schema::KNOWN.into()])?;
        fault::point("take-over copied");
        self.driver().commit()?;
        fault::point("take-over committed");
        #[cfg(feature = "mysql")]
        if let Kind::Mysql(mysql) = &mut self.0 {
            mysql.unlock_schema()?;
        }
        Ok(())
    }

    /// Undoes everything, if the database can.
    pub(crate) fn give_up(&mut self) {
        self.driver().rollback();
        #[cfg(feature = "mysql")]
        if let Kind::Mysql(mysql) = &mut self.0 {
            // The lock ends with the connection at the latest.
            let _ = mysql.unlock_schema();
        }
    }

    /// Removes the PHP program's tables, and traces of their content, from the disk. Safe to repeat.
    pub(crate) fn wipe(&mut self) -> Result<(), Error> {
        let mut left = Vec::new();
        for (_, aside, column) in TABLES {
            if self.driver().has(aside, column)? {
                left.push(aside);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        // An object of the operator, such as a view, may prevent dropping a table, but not emptying it.
        for aside in &left {
            self.driver().run(&format!("DELETE FROM {aside}"))?;
        }
        #[cfg(feature = "sqlite")]
        if let Kind::Sqlite(sqlite) = &mut self.0 {
            // The tables are dropped only after the file was rewritten; until then their presence shows that this is still to
            // be done.
            fault::point("take-over emptied");
            sqlite.run("VACUUM")?;
            fault::point("take-over vacuumed");
        }
        for aside in left {
            self.driver().run(&format!("DROP TABLE {aside}"))?;
            fault::point("take-over dropped");
        }
        self.driver().tidy()
    }
}

impl Store {
    /// For cron: whether an interrupted take-over left tables of the PHP program.
    pub(crate) fn has_php_tables(&mut self) -> Result<bool, Error> {
        for (_, aside, column) in TABLES {
            let found = self.driver.has(aside, column);
            if self.noting(found)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The columns in the order of [`PhpDatabase::read`].
const PHP_REGISTRATION: Selection = Selection {
    table: "the PHP program's registrations",
    columns: &[
        Column::Id,
        Column::HasNoId,
        Column::State,
        Column::FirstName,
        Column::LastName,
        Column::Username,
        Column::Password,
        Column::Note,
        Column::Email,
        Column::VerifyToken,
        Column::AdminToken,
        Column::RequestDate,
    ],
};

/// The same for logins.
const PHP_LOGIN: Selection = Selection {
    table: "the PHP program's logins",
    columns: &[
        Column::Id,
        Column::HasNoId,
        Column::Active,
        Column::FirstName,
        Column::LastName,
        Column::Localpart,
        Column::PasswordHash,
        Column::Email,
        Column::CreateDate,
        Column::LastModified,
    ],
};

impl TryFrom<Row> for PhpRegistration {
    type Error = Error;
    fn try_from(row: Row) -> Result<PhpRegistration, Error> {
        let row = row.named(&PHP_REGISTRATION);
        Ok(PhpRegistration {
            id: row.integer(Column::Id)?,
            has_no_id: row.integer(Column::HasNoId)? == 1,
            state: row.optional_integer(Column::State)?,
            first_name: row.optional_text(Column::FirstName).unwrap_or_default(),
            last_name: row.optional_text(Column::LastName).unwrap_or_default(),
            username: row.optional_text(Column::Username).unwrap_or_default(),
            password: row.optional_text(Column::Password).unwrap_or_default(),
            note: row.optional_text(Column::Note).unwrap_or_default(),
            email: row.optional_text(Column::Email).unwrap_or_default(),
            verify_token: row.optional_text(Column::VerifyToken).unwrap_or_default(),
            admin_token: row.optional_text(Column::AdminToken).unwrap_or_default(),
            requested_at: row.optional_integer(Column::RequestDate)?,
        })
    }
}

impl TryFrom<Row> for PhpLogin {
    type Error = Error;
    fn try_from(row: Row) -> Result<PhpLogin, Error> {
        let row = row.named(&PHP_LOGIN);
        Ok(PhpLogin {
            id: row.integer(Column::Id)?,
            // PHP let only these users log in.
            active: row.optional_integer(Column::Active)? == Some(1),
            first_name: row.optional_text(Column::FirstName).unwrap_or_default(),
            last_name: row.optional_text(Column::LastName).unwrap_or_default(),
            localpart: row.optional_text(Column::Localpart).unwrap_or_default(),
            password_hash: row.optional_text(Column::PasswordHash).unwrap_or_default(),
            email: row.optional_text(Column::Email).unwrap_or_default(),
            created_at: row.optional_integer(Column::CreateDate)?,
            changed_at: row.optional_integer(Column::LastModified)?,
        })
    }
}
