require "editheader";
deleteheader "Subject";
addheader :last "Subject" "FW: Hello";
redirect "probe@monitor.test";
