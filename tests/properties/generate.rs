//! Generated inputs: what nobody sends, and what is almost valid.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Request bodies as the real callers send them.
pub const VECTORS: [&str; 10] = [
    r#"{"auth":{"mxid":"@john:example.org","localpart":"john","domain":"example.org","password":"p\u003d\u0026\u003c\u003e\u0027\"ä€😀\\"}}"#,
    r#"{"user": {"id": "@jane:example.org", "password": "secret"}}"#,
    r#"{"by":"name","search_term":"jo"}"#,
    r#"{"by":"threepid","search_term":"JANE@example.org"}"#,
    r#"{"lookup":{"medium":"email","address":"JOHN.DOE@EXAMPLE.ORG"}}"#,
    r#"{"lookup":[{"medium":"email","address":"JANE@example.org"},{"medium":"msisdn","address":"49170"}]}"#,
    r#"{"localpart":"john","domain":"example.org","mxid":"@john:example.org"}"#,
    r#"{"new_password":"a long enough one","logout_devices":true,"auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"jane"},"password":"secret","session":"AAAA"}}"#,
    r#"{"new_password":"a long enough one","auth":{"type":"m.login.password","user":"@jane:example.org","password":"no"}}"#,
    r#"{"auth":{"type":"m.login.password","identifier":{"type":"m.id.thirdparty","medium":"email","address":"Jane@example.org"},"password":"no"},"new_password":"a long enough one"}"#,
];

/// Member names that some program reads.
const MEMBERS: [&str; 30] = [
    "events",
    "type",
    "sender",
    "content",
    "m.relates_to",
    "event_id",
    "key",
    "rel_type",
    "next_batch",
    "unsigned",
    "auth",
    "user",
    "id",
    "mxid",
    "localpart",
    "domain",
    "password",
    "by",
    "search_term",
    "lookup",
    "medium",
    "address",
    "new_password",
    "logout_devices",
    "type",
    "session",
    "identifier",
    "x",
    "",
    "Auth",
];

/// Texts that some program understands, and texts that parsers may stumble over.
const TEXTS: [&str; 28] = [
    "m.reaction",
    "m.annotation",
    "$ours",
    "👍",
    "@john:example.org",
    "@jane:example.org",
    "@jane:other.org",
    "@:example.org",
    "@",
    ":",
    "jane",
    "secret",
    "name",
    "threepid",
    "email",
    "msisdn",
    "jane@example.org",
    "JANE@EXAMPLE.ORG",
    "m.login.password",
    "m.id.user",
    "%",
    "_",
    "a\\u0000b",
    "\\ud800",
    "\\udfff\\ud83d",
    "ſ",
    "\\n",
    "İ\u{301}ﷺ",
];

/// Numbers that exceed some limit.
const NUMBERS: [&str; 9] =
    ["0", "-0", "1e999", "-1e-999", "18446744073709551616", "9223372036854775808", "-9223372036854775809", "1.7976931348623159e308", "00"];

/// JSON of any structure as a text, with the names that matter, repeated members, and syntax that JSON does not allow.
pub fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => select(&TEXTS[..]).prop_map(|text| format!("\"{text}\"")),
        2 => any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a text is JSON")),
        1 => select(&["null", "true", "false", "", "nul", "'x'", "NaN"][..]).prop_map(String::from),
        1 => select(&NUMBERS[..]).prop_map(String::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        let member = (select(&MEMBERS[..]), inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            3 => vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
            1 => vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

/// JSON nested deeply in brackets.
pub fn deep_json() -> impl Strategy<Value = String> {
    (json(), 1..20_000_usize, select(&[("[", "]"), ("{\"lookup\":", "}"), ("{\"auth\":{\"x\":", "}}")][..]), any::<bool>()).prop_map(
        |(inner, depth, (open, close), closed)| {
            format!("{}{inner}{}", open.repeat(depth), if closed { close.repeat(depth) } else { String::new() })
        },
    )
}

/// A body that differs slightly from what a caller sends.
pub fn nearly_a_vector() -> impl Strategy<Value = Vec<u8>> {
    damaged(select(&VECTORS[..]).prop_map(|vector| vector.as_bytes().to_vec()), json().prop_map(String::into_bytes))
}

/// A text that is cut off, has some changed bytes, or has a part replaced.
pub fn damaged(text: impl Strategy<Value = Vec<u8>>, other: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<Index>(), any::<u8>()), 0..4);
    (text, other, any::<[Index; 2]>(), changes, 0..4_u8).prop_map(|(mut text, other, [one, two], changes, kind)| {
        let (one, two) = (one.index(text.len() + 1), two.index(text.len() + 1));
        match kind {
            0 => text.truncate(one),
            1 => drop(text.splice(one.min(two)..one.max(two), other)),
            2 => text.extend_from_within(one.min(two)..one.max(two)),
            _ => {}
        }
        for (place, byte) in changes {
            if !text.is_empty() {
                let place = place.index(text.len());
                text[place] = byte;
            }
        }
        text
    })
}

/// What people may type: any text, many significant characters, or a proper name or address with something inserted.
pub fn typed() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-zA-Z0-9._=/+@:-]{0,70}",
        "[ a@.<>\\\\\"\r\n\t\u{202e}\u{200d}\u{301}\u{345}İıſßςΣﬁＡ가ᄀ\u{ad}\u{feff}]{0,12}",
        "[a\u{915}\u{94d}\u{9b0}\u{9cd}\u{645}\u{6cc}\u{200b}-\u{200f}\u{2066}-\u{2069}\u{fe0f}\u{1f469}\u{2764}\u{1f3fd}\u{300}\u{316}\u{34f}\u{3164}\u{2800}\u{1f3f4}\u{e0067}\u{e007f}\r\n ]{0,16}",
        "-?[a\u{200b}]{0,3}@(xn--)?(bücher|b\u{200d}cher-kva|a|\u{645}\u{200c}\u{645}|ß)\\.(de|XN--P1AI|рф)",
        "[\\p{Lu}\\p{Lt}\\p{M}\\p{Z}]{0,12}",
        "([a-z]{1,3} ){0,60}",
        "[a-z.+]{1,20}@([a-zäßİ\u{200d}0-9-]{1,12}\\.){1,3}[a-z0-9]{1,6}",
        "[!-~]{1,70}@([a-z0-9-]{1,70}\\.){1,4}(org|xn--[a-z0-9]{1,8}|[0-9]{1,3})",
    ]
}
