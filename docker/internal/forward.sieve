# The rule under test. A mailbox for each protocol, so that neither sees the other's mail.
if header :contains "Subject" "Email Verification for imap" {
    redirect "imap@monitor.test";
} elsif header :contains "Subject" "Email Verification for pop3" {
    redirect "pop3@monitor.test";
}
