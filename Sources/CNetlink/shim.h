#include <netlink/netlink.h>
#include <netlink/addr.h>
#include <netlink/utils.h>
#include <netlink/route/route.h>
#include <netlink/route/rtnl.h>
#include <netlink/route/link.h>
