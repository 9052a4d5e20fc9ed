//! Users with realistic names: any number, and the same ones each time.

use super::NewLogin;

/// First and last names that go together, by script.
const PEOPLE: [(&[&str], &[&str]); 8] = [
    (
        &["Anna", "Max Emil", "Jürgen", "Zoë", "Ben", "Clara Sophie", "Łukasz", "Søren", "Émilie", "Ingrid", "Paul", "Lena"],
        &["Schröder", "Müller", "von der Heide", "Groß", "O'Neil", "Kowalczyk", "Ångström", "Dubois", "Smith", "Meyer-Landrut"],
    ),
    (&["José María", "Lucía", "Inês", "João", "Nuria"], &["García Márquez", "de la Fuente", "Gonçalves", "Núñez", "dos Santos"]),
    (&["Анна", "Иван", "Ольга", "Юрій", "Дмитрий"], &["Иванова", "Шевченко", "Петров", "Достоевский", "Ковальчук"]),
    (&["Γιώργος", "Μαρία", "Ελένη"], &["Παπαδόπουλος", "Νικολάου", "Οικονόμου"]),
    (&["محمد", "فاطمة", "يوسف"], &["الأحمد", "حسن", "بن علي"]),
    (&["太郎", "花子", "明"], &["山田", "鈴木", "王"]),
    (&["민준", "서연", "지우"], &["김", "이", "박"]),
    (&["आरव", "प्रिया", "Nguyễn Thị", "ก้อง"], &["शर्मा", "पटेल", "Minh Anh", "สุขใจ"]),
];

/// Beginnings of localparts.
const HANDLES: [&str; 16] = [
    "anna",
    "max.m",
    "jurgen_s",
    "zoe",
    "ben",
    "clara-s",
    "lukasz",
    "sorensen",
    "emilie",
    "i.nikolaou",
    "paul",
    "lena",
    "yuri",
    "taro",
    "minjun",
    "aarav",
];

/// Mail domains.
const DOMAINS: [&str; 5] = ["example.org", "mail.example.com", "students.example.edu", "bücher.example", "example.net"];

/// The user with this number.
pub fn user(number: u64) -> NewLogin {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let pick = |list: &[&'static str], shift: u32| list[(mixed >> shift) as usize % list.len()];
    let (first_names, last_names) = PEOPLE[(mixed >> 8) as usize % PEOPLE.len()];
    let localpart = format!("{}{number}", pick(&HANDLES, 16));
    let domain = pick(&DOMAINS, 24);
    NewLogin {
        first_name: pick(first_names, 32).to_owned(),
        last_name: pick(last_names, 40).to_owned(),
        // The hash of no password: nobody logs in.
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$bWF0cml4LXJlZ2lzdGVyLWJvdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        email: format!("{localpart}@{domain}"),
        email_folded: format!("{localpart}@{}", domain.replace("bücher", "xn--bcher-kva")),
        localpart,
        created_at: 1_700_000_000 + number as i64,
        initial_password_until: None,
    }
}
