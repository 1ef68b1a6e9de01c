// A Vulkan layer that loses the GPU: once the file LOST_GPU exists, every device that was open by then answers as one whose driver
// was reset. Devices that are opened afterwards work.
//
//   cc -shared -fPIC -o liblost_gpu.so lost_gpu.c        (Debian: libvulkan-dev)

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

enum { MOST = 64 };

// What was opened, and whether that was before the file was there. A program opens few, and addresses come again.
static struct {
  void *handle;
  bool is_old;
} opened[MOST];

static PFN_vkGetInstanceProcAddr next_instance_proc;
static PFN_vkGetDeviceProcAddr next_device_proc;

static bool has_happened(void) {
  const char *file = getenv("LOST_GPU");
  return file && access(file, F_OK) == 0;
}

static void open_handle(void *handle) {
  for (int place = 0; place < MOST; place++) {
    if (!opened[place].handle || opened[place].handle == handle) {
      opened[place].handle = handle;
      opened[place].is_old = !has_happened();
      return;
    }
  }
}

static bool is_lost(void *handle) {
  if (!has_happened()) return false;
  for (int place = 0; place < MOST; place++) {
    if (opened[place].handle == handle) return opened[place].is_old;
  }
  return false;
}

// name(types): the next layer's function, asked for once, as all devices here are of one driver.
#define NEXT(device, name) \
  static PFN_##name next; \
  if (!next) next = (PFN_##name)next_device_proc(device, #name)

static VkInstance any_instance;
static VkDevice any_device;

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue queue, uint32_t count, const VkSubmitInfo *work, VkFence fence) {
  NEXT(any_device, vkQueueSubmit);
  return is_lost(queue) ? VK_ERROR_DEVICE_LOST : next(queue, count, work, fence);
}

static VKAPI_ATTR VkResult VKAPI_CALL present(VkQueue queue, const VkPresentInfoKHR *info) {
  NEXT(any_device, vkQueuePresentKHR);
  return is_lost(queue) ? VK_ERROR_DEVICE_LOST : next(queue, info);
}

static VKAPI_ATTR VkResult VKAPI_CALL acquire(VkDevice device, VkSwapchainKHR chain, uint64_t timeout, VkSemaphore semaphore,
                                              VkFence fence, uint32_t *index) {
  NEXT(device, vkAcquireNextImageKHR);
  return is_lost(device) ? VK_ERROR_DEVICE_LOST : next(device, chain, timeout, semaphore, fence, index);
}

static VKAPI_ATTR VkResult VKAPI_CALL wait_semaphores(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout) {
  NEXT(device, vkWaitSemaphores);
  return is_lost(device) ? VK_ERROR_DEVICE_LOST : next(device, info, timeout);
}

static VKAPI_ATTR VkResult VKAPI_CALL wait_fences(VkDevice device, uint32_t count, const VkFence *fences, VkBool32 all,
                                                  uint64_t timeout) {
  NEXT(device, vkWaitForFences);
  return is_lost(device) ? VK_ERROR_DEVICE_LOST : next(device, count, fences, all, timeout);
}

static VKAPI_ATTR void VKAPI_CALL get_queue(VkDevice device, uint32_t family, uint32_t index, VkQueue *queue) {
  NEXT(device, vkGetDeviceQueue);
  next(device, family, index, queue);
  open_handle(*queue);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator, VkDevice *device) {
  VkLayerDeviceCreateInfo *link = (VkLayerDeviceCreateInfo *)info->pNext;
  while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO)) {
    link = (VkLayerDeviceCreateInfo *)link->pNext;
  }
  if (!link) return VK_ERROR_INITIALIZATION_FAILED;
  PFN_vkGetInstanceProcAddr instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  next_device_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  PFN_vkCreateDevice next = (PFN_vkCreateDevice)instance_proc(any_instance, "vkCreateDevice");
  VkResult result = next(physical, info, allocator, device);
  if (result == VK_SUCCESS) open_handle(any_device = *device);
  return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *allocator,
                                                      VkInstance *instance) {
  VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)info->pNext;
  while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO)) {
    link = (VkLayerInstanceCreateInfo *)link->pNext;
  }
  if (!link) return VK_ERROR_INITIALIZATION_FAILED;
  next_instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  PFN_vkCreateInstance next = (PFN_vkCreateInstance)next_instance_proc(NULL, "vkCreateInstance");
  VkResult result = next(info, allocator, instance);
  if (result == VK_SUCCESS) any_instance = *instance;
  return result;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance, const char *name);

static PFN_vkVoidFunction own(const char *name) {
  static const struct {
    const char *name;
    PFN_vkVoidFunction function;
  } functions[] = {
    {"vkCreateInstance", (PFN_vkVoidFunction)create_instance},
    {"vkCreateDevice", (PFN_vkVoidFunction)create_device},
    {"vkGetInstanceProcAddr", (PFN_vkVoidFunction)instance_proc},
    {"vkGetDeviceQueue", (PFN_vkVoidFunction)get_queue},
    {"vkQueueSubmit", (PFN_vkVoidFunction)submit},
    {"vkQueuePresentKHR", (PFN_vkVoidFunction)present},
    {"vkAcquireNextImageKHR", (PFN_vkVoidFunction)acquire},
    {"vkWaitSemaphores", (PFN_vkVoidFunction)wait_semaphores},
    {"vkWaitForFences", (PFN_vkVoidFunction)wait_fences},
  };
  for (size_t place = 0; place < sizeof functions / sizeof *functions; place++) {
    if (strcmp(functions[place].name, name) == 0) return functions[place].function;
  }
  return NULL;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char *name) {
  if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)device_proc;
  PFN_vkVoidFunction function = own(name);
  // What the driver lacks, it lacks with this layer too.
  return function && next_device_proc(device, name) ? function : next_device_proc(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance, const char *name) {
  if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)device_proc;
  PFN_vkVoidFunction function = own(name);
  return function ? function : next_instance_proc(instance, name);
}

VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface) {
  interface->loaderLayerInterfaceVersion = 2;
  interface->pfnGetInstanceProcAddr = instance_proc;
  interface->pfnGetDeviceProcAddr = device_proc;
  interface->pfnGetPhysicalDeviceProcAddr = NULL;
  return VK_SUCCESS;
}
