/* Programs that do a part of what the agent does, measured in the same run. */
#pragma once

/*
 * Start each of them by hand, its files and sockets in folder, and print a member of the report for it:
 * its binary, the time from exec to the first connection that it takes, memory and idle processor time.
 * agent_rss: what to compare with, in KiB.
 */
void others_report(const char *folder, double agent_rss);
