require "editheader";
addheader "X-Spam-Flag" "YES";
redirect "probe@monitor.test";
