/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands of people about networks; see monitor/hmp.h. */
#pragma once

#include "monitor/hmp.h"

bool hmp_netdev_add(HmpCall *call, GError **error);
bool hmp_announce_self(HmpCall *call, GError **error);
bool hmp_set_link(HmpCall *call, GError **error);
bool hmp_hostfwd_add(HmpCall *call, GError **error);
bool hmp_hostfwd_remove(HmpCall *call, GError **error);
bool hmp_egress_add(HmpCall *call, GError **error);
bool hmp_egress_remove(HmpCall *call, GError **error);
bool hmp_info_egress(HmpCall *call, GError **error);
bool hmp_info_network(HmpCall *call, GError **error);
bool hmp_info_usernet(HmpCall *call, GError **error);
