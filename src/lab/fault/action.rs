//! What the filter can be told to do with a message that it objects to.

/// The action upon a virus or upon spam; not each goes with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilterAction {
    /// A 5xx reply to the final dot.
    Reject,
    /// 250, and the message is gone.
    Discard,
    /// 250, and the message is held.
    Quarantine,
    /// Delivered, with header fields that say so.
    Tag,
    /// Delivered, with a word before its subject.
    Subject,
    /// Tagged and delivered into Junk.
    Junk,
    /// Delivered with a notice in the place of what was infected.
    Strip,
    /// 250, then a delivery status notification.
    Bounce,
    /// Passes as if it were clean.
    Off,
}

impl FilterAction {
    /// What can be done with a virus.
    pub(crate) const ON_VIRUS: &[FilterAction] = &[
        FilterAction::Reject,
        FilterAction::Discard,
        FilterAction::Quarantine,
        FilterAction::Tag,
        FilterAction::Junk,
        FilterAction::Strip,
        FilterAction::Bounce,
        FilterAction::Off,
    ];

    /// What can be done with spam.
    pub(crate) const ON_SPAM: &[FilterAction] = &[
        FilterAction::Reject,
        FilterAction::Discard,
        FilterAction::Quarantine,
        FilterAction::Tag,
        FilterAction::Subject,
        FilterAction::Junk,
        FilterAction::Off,
    ];

    /// The word that stands for this action.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            FilterAction::Reject => "reject",
            FilterAction::Discard => "discard",
            FilterAction::Quarantine => "quarantine",
            FilterAction::Tag => "tag",
            FilterAction::Subject => "subject",
            FilterAction::Junk => "junk",
            FilterAction::Strip => "strip",
            FilterAction::Bounce => "bounce",
            FilterAction::Off => "off",
        }
    }
}
