/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Configuration of the load balancer's program: read-only data, set by the agent between open and load, so that
 * the verifier removes what is switched off.
 */
#pragma once

#include "../abi.h"

const volatile struct sl_config sl_config = {};
