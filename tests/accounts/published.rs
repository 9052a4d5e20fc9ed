use crate::table::fresh;
use crate::world::Host;
use crate::{Client, Homestead};

#[test]
fn behind_the_published_modules_the_very_first_login_works() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/accounts");
    let home = Homestead::start_with(folder, |endpoint| {
        format!(r#"password_providers=[{{"module": "published_flow.PublishedFlow", "config": {{"endpoint": "{endpoint}"}}}}]"#)
    });
    let web = home.serve(Host::NginxCgi);
    let ada = fresh("ada");
    let initial = home.sign_up(&web, &ada);
    let report = Client::new(&web.url()).log_in(&ada, &initial);
    assert_eq!(report.user(), Ok(home.synapse().user_id(&ada).as_str()), "{}", web.log());
    assert_eq!(report.display_name(), "Ada Lovelace-Größe", "made in Synapse when it was approved");
    assert!(Client::new(&web.url()).log_in(&ada, "wrong").user().is_err());
}
