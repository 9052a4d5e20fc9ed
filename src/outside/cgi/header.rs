//! The headers of a request that programs read: the web server need not send others.

/// One of them. A new one belongs into [`Header::ALL`], and into [`Header::OF_PAGES`] or [`Header::OF_INTERNAL`] if such a program
/// reads it; a test compares these with the lines in `docs/hosts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    AcceptLanguage,
    Authorization,
    /// RFC 7239: a sign of a proxy.
    Forwarded,
    SecFetchSite,
    UserAgent,
    /// A sign of a proxy.
    Via,
    XForwardedFor,
    /// A sign of a proxy.
    XRealIp,
    /// The address of the user, if the caller of `login` knows it; guessing is then slowed down for that network and not for all.
    XRegisterBotClient,
    /// Marks a forwarded request, to break the loop if `homeserver_url` leads back to our own web server.
    XRegisterBotForwarded,
    /// Carries `internal.shared_secret`.
    XRegisterBotSecret,
}

impl Header {
    pub const ALL: [Header; 11] = [
        Header::AcceptLanguage,
        Header::Authorization,
        Header::Forwarded,
        Header::SecFetchSite,
        Header::UserAgent,
        Header::Via,
        Header::XForwardedFor,
        Header::XRealIp,
        Header::XRegisterBotClient,
        Header::XRegisterBotForwarded,
        Header::XRegisterBotSecret,
    ];

    /// What the pages read.
    pub const OF_PAGES: [Header; 3] = [Header::XForwardedFor, Header::AcceptLanguage, Header::SecFetchSite];

    /// What the programs for Synapse and identity servers read, except for a change of a password, which reads more.
    pub const OF_INTERNAL: [Header; 7] = [
        Header::XForwardedFor,
        Header::Forwarded,
        Header::XRealIp,
        Header::Via,
        Header::Authorization,
        Header::XRegisterBotSecret,
        Header::XRegisterBotClient,
    ];

    /// Its name in HTTP.
    pub const fn name(self) -> &'static str {
        self.names().0
    }

    /// The variable that has its value (RFC 3875 section 4.1.18).
    pub const fn variable(self) -> &'static str {
        self.names().1
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Header::AcceptLanguage => ("Accept-Language", "HTTP_ACCEPT_LANGUAGE"),
            Header::Authorization => ("Authorization", "HTTP_AUTHORIZATION"),
            Header::Forwarded => ("Forwarded", "HTTP_FORWARDED"),
            Header::SecFetchSite => ("Sec-Fetch-Site", "HTTP_SEC_FETCH_SITE"),
            Header::UserAgent => ("User-Agent", "HTTP_USER_AGENT"),
            Header::Via => ("Via", "HTTP_VIA"),
            Header::XForwardedFor => ("X-Forwarded-For", "HTTP_X_FORWARDED_FOR"),
            Header::XRealIp => ("X-Real-IP", "HTTP_X_REAL_IP"),
            Header::XRegisterBotClient => ("X-Register-Bot-Client", "HTTP_X_REGISTER_BOT_CLIENT"),
            Header::XRegisterBotForwarded => ("X-Register-Bot-Forwarded", "HTTP_X_REGISTER_BOT_FORWARDED"),
            Header::XRegisterBotSecret => ("X-Register-Bot-Secret", "HTTP_X_REGISTER_BOT_SECRET"),
        }
    }
}
