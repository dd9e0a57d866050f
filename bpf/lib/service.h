/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Stage 2: which service is the packet for? An exact port wins over any port.
 */
#pragma once

#include "maps.h"
#include "packet.h"

SL_INLINE struct sl_service *sl_find_service4(const struct sl_packet *packet)
{
	struct sl_service_key4 key = {
		.vip = packet->destination[0],
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	struct sl_service *service = bpf_map_lookup_elem(&services_v4, &key);

	if (service)
		return service;
	key.port = 0;
	return bpf_map_lookup_elem(&services_v4, &key);
}

SL_INLINE struct sl_service *sl_find_service6(const struct sl_packet *packet)
{
	struct sl_service_key6 key = {
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	struct sl_service *service;

	__builtin_memcpy(key.vip, packet->destination, sizeof(key.vip));
	service = bpf_map_lookup_elem(&services_v6, &key);
	if (service)
		return service;
	key.port = 0;
	return bpf_map_lookup_elem(&services_v6, &key);
}

SL_INLINE enum sl_reason sl_find_service(struct sl_packet *packet)
{
	packet->service = packet->is_v6 ? sl_find_service6(packet) : sl_find_service4(packet);
	return packet->service ? SL_OK : SL_PASS_NO_SERVICE;
}
