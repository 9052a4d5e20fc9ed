//! The headers of a request that programs read: the web server need not send others.

/// The headers, with their names in HTTP and the variables that have their values (RFC 3875 section 4.1.18).
macro_rules! headers {
    ($($(#[$meaning:meta])* $header:ident = $name:literal, $variable:literal;)*) => {
        /// A header that some program reads. If a page reads a new one, it belongs in [`Header::OF_PAGES`] as well, and so on; a
        /// test compares these lists with the lines in `docs/hosts`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Header {
            $($(#[$meaning])* $header),*
        }

        impl Header {
            pub const ALL: &[Header] = &[$(Header::$header),*];

            /// Its name in HTTP.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Header::$header => $name),*
                }
            }

            /// The variable that has its value.
            pub const fn variable(self) -> &'static str {
                match self {
                    $(Header::$header => $variable),*
                }
            }
        }
    };
}

headers! {
    AcceptLanguage = "Accept-Language", "HTTP_ACCEPT_LANGUAGE";
    Authorization = "Authorization", "HTTP_AUTHORIZATION";
    /// RFC 7239: a sign of a proxy.
    Forwarded = "Forwarded", "HTTP_FORWARDED";
    SecFetchSite = "Sec-Fetch-Site", "HTTP_SEC_FETCH_SITE";
    UserAgent = "User-Agent", "HTTP_USER_AGENT";
    /// A sign of a proxy.
    Via = "Via", "HTTP_VIA";
    XForwardedFor = "X-Forwarded-For", "HTTP_X_FORWARDED_FOR";
    /// A sign of a proxy.
    XRealIp = "X-Real-IP", "HTTP_X_REAL_IP";
    /// The address of the user, if the caller of `login` knows it; guessing is then slowed down for that network and not for all.
    XRegisterBotClient = "X-Register-Bot-Client", "HTTP_X_REGISTER_BOT_CLIENT";
    /// Marks a forwarded request, to break the loop if `homeserver_url` leads back to our own web server.
    XRegisterBotForwarded = "X-Register-Bot-Forwarded", "HTTP_X_REGISTER_BOT_FORWARDED";
    /// Carries `internal.shared_secret`.
    XRegisterBotSecret = "X-Register-Bot-Secret", "HTTP_X_REGISTER_BOT_SECRET";
}

impl Header {
    /// What the pages read.
    pub const OF_PAGES: &[Header] = &[Header::XForwardedFor, Header::AcceptLanguage, Header::SecFetchSite];

    /// What the programs for Synapse and identity servers read, except `intercept_change_password`.
    pub const OF_INTERNAL: &[Header] = &[
        Header::XForwardedFor,
        Header::Forwarded,
        Header::XRealIp,
        Header::Via,
        Header::Authorization,
        Header::XRegisterBotSecret,
        Header::XRegisterBotClient,
    ];

    /// What `intercept_change_password` reads.
    pub const OF_PASSWORD_CHANGE: &[Header] =
        &[Header::XForwardedFor, Header::Authorization, Header::UserAgent, Header::XRegisterBotForwarded];
}
