#!/usr/bin/env python3
"""Passes bytes on between a listener and an address, each way late by so many milliseconds; SIGUSR1 stops the flow for two
seconds. Usage: proxy.py LISTEN-ADDRESS PORT TO-ADDRESS PORT DELAY-MS"""
import asyncio
import signal
import sys
import time

held_until = 0.0


def hold(*_):
    global held_until
    held_until = time.monotonic() + 2


async def pump(reader, writer, delay):
    queue = asyncio.Queue(1024)

    async def fill():
        while data := await reader.read(65536):
            await queue.put((time.monotonic() + delay, data))
        await queue.put((0, b""))

    task = asyncio.create_task(fill())
    try:
        while True:
            due, data = await queue.get()
            if not data:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic(), held_until - time.monotonic()))
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        task.cancel()
        writer.close()


async def main(address, port, to_address, to_port, delay):
    async def accept(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(to_address, int(to_port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer, delay), pump(far_reader, writer, delay), return_exceptions=True)

    signal.signal(signal.SIGUSR1, hold)
    server = await asyncio.start_server(accept, address, int(port))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5], float(sys.argv[5]) / 1000))
