require ["editheader", "variables"];
if header :matches "Subject" "*" {
    set "subject" "${1}";
}
deleteheader "Subject";
addheader :last "Subject" "***SPAM*** ${subject}";
redirect "probe@monitor.test";
