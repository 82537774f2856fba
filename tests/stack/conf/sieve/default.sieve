# echo and all others
redirect "probe@monitor.test";
