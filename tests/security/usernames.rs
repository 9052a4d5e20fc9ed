//! Somebody else's username in other clothes.

use crate::world::{Host, SiteFolder, WebServer, built_programs};
use matrix_register_bot::outside::site::Site;
use matrix_register_bot::outside::store::{Access, NewLogin};

#[test]
fn nobody_gets_the_name_of_somebody_else_in_another_spelling() {
    let site = SiteFolder::new(&built_programs!()).set("form.reserved_usernames", vec!["chef"]).create();
    let web = WebServer::start(&site, Host::NginxFastCgi);
    let ours = Site::open(&site.config_path()).unwrap();
    let login = NewLogin {
        localpart: "kate".into(),
        first_name: String::new(),
        last_name: String::new(),
        password_hash: "*".into(),
        email: String::new(),
        email_folded: String::new(),
        created_at: 1,
        initial_password_until: None,
    };
    ours.store(Access::Write).unwrap().import_login(&login).unwrap();
    let form = web.browser().get("/register").form().put("first_name", "Eve").put("email", "eve@example.org");
    for name in ["kate", "chef", "admin", "register_bot"] {
        let mut spellings = vec![
            name.to_owned(),
            name.to_uppercase(),
            format!(" {name} "),
            format!("@{name}"),
            format!("@@{name}"),
            format!("{name}\u{a0}"),
        ];
        spellings.extend([format!("{name}\u{3000}"), format!("\u{2003}{name}"), format!("{name}\t"), format!("{name}\r\n")]);
        for put_in in ["\u{301}", "\u{200b}", "\u{200d}", "\u{ad}", "\u{feff}", "\u{202e}", "\0", "%00", ":example.test", " x", "\u{e0061}"]
        {
            spellings.push(format!("{name}{put_in}"));
        }
        // Fullwidth; Cyrillic, Kelvin and mathematical letters that look the same.
        spellings.push(name.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect());
        spellings.push(name.replace('a', "\u{430}").replace('e', "\u{435}").replace('k', "\u{212a}"));
        spellings.push(name.chars().map(|c| if c == '_' { '_' } else { char::from_u32(0x1d41a + c as u32 - 97).unwrap() }).collect());
        for spelling in spellings {
            for action in ["check", "send"] {
                let page = web.browser().submit(&form.clone().put("username", &spelling).put("action", action));
                assert_eq!(page.status, 422, "{action} {spelling:?}: {}", page.text());
            }
        }
    }
}
