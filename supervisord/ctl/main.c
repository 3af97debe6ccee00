/*
 * supervisorctl: the command line client of supervisord. Global options, then
 * one command, or the shell without one (ctl.h tells the rest).
 */

#include "supervisord/ctl/ctl.h"

int
main(int argc, char **argv)
{
	return ctl_main(argc, argv);
}
