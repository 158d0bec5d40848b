/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything that -device and -machine know.
 */
#pragma once

/* Hands the lists to the core: once, before anything else. */
void devices_register(void);
