//! The texts of the pages, from the files that the pages use.

use toml::Table;

/// A text of `templates/locales` such as `verify.button`, with values for its `{names}`.
pub fn words(language: &str, key: &str, values: &[(&str, &str)]) -> String {
    let source = match language {
        "en" => include_str!("../../templates/locales/en.toml"),
        "de" => include_str!("../../templates/locales/de.toml"),
        other => panic!("no texts in {other}"),
    };
    let all: Table = source.parse().expect("the texts are TOML");
    let (section, name) = key.rsplit_once('.').expect("a section and a name");
    let table = section.split('.').fold(&all, |table, part| table[part].as_table().expect("a section"));
    let text = table[name].as_str().expect("a text").to_owned();
    values.iter().fold(text, |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
